/** What `aloft.json` may say of an app whose code is an image. */
import type { AppConfig } from "./app-config.ts";
import { AloftError } from "./errors.ts";
import { programsOf } from "./programs.ts";

/** Throws CONFIG_INVALID. `entry` is that of the deploy. */
export function assertImageConfig(config: AppConfig, entry: string): void {
  if (config.entry !== null || entry !== "") throw invalid('"entry" names a module, and the app is an image');
  // "command" stands for a command in the image, instead of its own.
  if (config.runtime !== null && config.runtime !== "command" && config.runtime !== "provided")
    throw invalid(`the runtime is ${config.runtime}, and the app is an image`);
  if (config.layers.length > 0) throw invalid('"layers" go with a folder of code, and an image has layers of its own');
  if (config.files.length > 0) throw invalid('"files" are carried with a folder of code, and the app is an image');
  for (const { name, program } of programsOf(config, "image")) {
    if (program.runtime === "image" || program.runtime === "provided") continue;
    throw invalid(`functions.${name} has the runtime ${program.runtime}, and the app is an image`);
  }
}

function invalid(message: string): AloftError {
  return new AloftError("CONFIG_INVALID", `aloft.json: ${message}`, {
    hint: "deploy the image without a folder, or with one whose aloft.json is made for it",
  });
}

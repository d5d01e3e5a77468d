/** What stands on the developer's disk before anything is bundled: the folder, its `aloft.json`, its name, its entry. */
import { readFile, stat } from "node:fs/promises";
import { basename, dirname, extname, join, resolve } from "node:path";
import type { AppConfig } from "../contract/app-config.ts";
import { emptyAppConfig } from "../contract/empty-app-config.ts";
import type { Runtime } from "../contract/deployment.ts";
import { AloftError } from "../contract/errors.ts";
import { limits } from "../contract/limits.ts";
import { isAppName } from "../contract/names.ts";
import { findCode } from "./detect-runtime.ts";

export interface AppSource {
  /** Absolute. */
  readonly dir: string;
  readonly name: string;
  /** Of functions about which `aloft.json` says nothing else. */
  readonly runtime: Runtime;
  /** The Node module to bundle, relative to the folder, `/` between its parts; "" when there is none. */
  readonly entry: string;
  /** The app's only file of code, where it is no Node module; what lies beside it is not looked at. */
  readonly file?: string;
  readonly config: AppConfig;
  /** "" when there is none. */
  readonly configText: string;
}

/** `path` is an app's folder, or its only file; what else lies beside such a file is not looked at. */
export async function readAppSource(path: string): Promise<AppSource> {
  const absolute = resolve(path);
  const found = await stat(absolute).catch(() => null);
  if (found?.isFile() === true) return sourceOfFile(absolute);
  if (found?.isDirectory() !== true) {
    throw new AloftError("ENTRY_NOT_FOUND", `${absolute} is neither a folder nor a file`, {
      hint: "name the folder of an app, or one file of code",
    });
  }
  const configText = await readConfigText(absolute);
  // The parser and its schema take longer to load than a small app takes to bundle.
  const config =
    configText === "" ? emptyAppConfig : (await import("../contract/app-config.ts")).parseAppConfig(configText);
  const { runtime, entry } = await findCode(absolute, config);
  const name = config.name ?? appNameFrom(basename(absolute));
  return { dir: absolute, name, runtime, entry, config, configText };
}

/** A valid name made of any: "My App" -> "my-app", "@team/shop_v2" -> "team-shop-v2". */
export function appNameFrom(text: string): string {
  const plain = text.normalize("NFKD").replaceAll(/\p{M}/gu, "").toLowerCase();
  const name = plain
    .replaceAll(/[^a-z0-9]+/g, "-")
    .slice(0, limits.appNameChars)
    .replaceAll(/^-+|-+$/g, "");
  return isAppName(name) ? name : "app";
}

function sourceOfFile(file: string): AppSource {
  const dir = dirname(file);
  const base = basename(file, extname(file));
  const name = appNameFrom(base === "index" ? basename(dir) : base);
  const common = { dir, name, config: emptyAppConfig, configText: "" } as const;
  if (file.endsWith(".py")) return { ...common, runtime: "python", entry: "", file: basename(file) };
  return { ...common, runtime: "node", entry: basename(file) };
}

/** "" when there is none. */
export async function readConfigText(dir: string): Promise<string> {
  try {
    return await readFile(join(dir, "aloft.json"), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw new AloftError("CONFIG_INVALID", `aloft.json cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

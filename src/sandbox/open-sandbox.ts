/** Which driver a server uses: the one asked for, else the strongest that works on this host. */
import { join } from "node:path";
import { AloftError } from "../contract/errors.ts";
import type { Sandbox } from "../contract/sandbox.ts";
import { openProcessSandbox } from "./process/process-sandbox.ts";

export interface OpenSandboxOptions {
  readonly wanted: "auto" | "oci" | "process";
  /** For what belongs to running instances. */
  readonly folder: string;
  readonly onWarning: (message: string) => void;
}

export function openSandbox(options: OpenSandboxOptions): Sandbox {
  if (options.wanted === "oci") {
    throw new AloftError("SANDBOX_UNAVAILABLE", "this version has no oci sandbox", { hint: "use --sandbox process" });
  }
  return openProcessSandbox({ folder: join(options.folder, "instances") });
}

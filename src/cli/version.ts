/** `aloft version` */
import { packageVersion } from "../lib/package-version.ts";
import type { Context } from "./command.ts";

export async function run({ terminal, json }: Context): Promise<number> {
  const version = packageVersion();
  if (json) terminal.printJson({ version, node: process.versions.node });
  else terminal.print(`aloft ${version} (node ${process.versions.node})`);
  return 0;
}

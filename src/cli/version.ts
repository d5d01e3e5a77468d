/** `aloft version`; and what the version is. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Context } from "./command.ts";

export async function run({ terminal, json }: Context): Promise<number> {
  const version = readVersion();
  if (json) terminal.printJson({ version, node: process.versions.node });
  else terminal.print(`aloft ${version} (node ${process.versions.node})`);
  return 0;
}

/** Of the package this file belongs to, whether it runs from src/ or from dist/. */
function readVersion(): string {
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    try {
      const content: unknown = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
      if (typeof content === "object" && content !== null && "version" in content) return String(content.version);
    } catch {
      // No package.json here: look further up.
    }
    if (folder === dirname(folder)) return "0.0.0";
  }
}

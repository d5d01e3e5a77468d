/** The version of the package a file belongs to, whether it runs from `src/` or from `dist/`. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

export function packageVersion(): string {
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

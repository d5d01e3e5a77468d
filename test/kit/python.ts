/** Whether this machine can run Python functions; the reason to skip their tests when it cannot. */
import { join } from "node:path";
import { readSearchPath } from "../../src/config.ts";
import { pythonFinder } from "../../src/pool/python-program.ts";

/** null: it can. */
export function pythonMissing(): string | null {
  try {
    const candidates = readSearchPath().map((folder) => join(folder, "python3"));
    pythonFinder("/main.py", candidates)();
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

/** The system's programs that the network needs, and how they are run. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants } from "node:fs";
import { join } from "node:path";

const folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"] as const;

/** All that they are given of the server's environment. */
export const programEnvironment = { PATH: folders.join(":"), LC_ALL: "C" } as const;

/** Absolute path, null when it is not installed. */
export function findProgram(name: string): string | null {
  for (const folder of folders) {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return join(folder, name);
    } catch {
      // Not here.
    }
  }
  return null;
}

/** Rejects with what the program complained of. */
export async function runProgram(program: string, parameters: readonly string[], input: string): Promise<void> {
  const child = spawn(program, parameters, { env: programEnvironment, stdio: ["pipe", "ignore", "pipe"] });
  let complaint = "";
  child.stderr.on("data", (chunk: Buffer) => (complaint = (complaint + chunk.toString()).slice(0, 2000)));
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(complaint.trim() || `${program} ended with ${code}`);
}

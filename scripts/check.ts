/**
 * Every static check, two at a time; prints what failed and one line for each check. Exit code 1 when any failed.
 *
 * A checker that looked at nothing also reports success, so those that count their files must have counted some.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";

interface Check {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  /** Its first group is the number of files that were looked at. */
  readonly filesSeen?: RegExp;
}

const filesSeenMin = 20;

const checks: readonly Check[] = [
  { name: "lint", command: ["oxlint", "--type-aware"], filesSeen: /on (\d+) files/ },
  { name: "types of the platform", command: ["tsc", "-p", "."] },
  { name: "types of the guest", command: ["tsc", "-p", "guest"] },
  { name: "types of the sdk", command: ["tsc", "-p", "sdk"] },
  { name: "types of the examples", command: ["tsc", "-p", "examples"] },
  { name: "types of the benchmark", command: ["tsc", "-p", "bench"] },
  { name: "format", command: ["oxfmt", "--check"], filesSeen: /on (\d+) files/ },
  { name: "unused code", command: ["knip", "--no-progress"] },
];

const root = join(import.meta.dirname, "..");
const waiting = [...checks];
let failures = 0;

await Promise.all([runChecks(), runChecks()]);
process.exitCode = failures === 0 ? 0 : 1;

async function runChecks(): Promise<void> {
  for (let check = waiting.shift(); check !== undefined; check = waiting.shift()) {
    const startedAtMs = performance.now();
    const { code, output } = await run(check);
    const complaint = code === 0 ? complaintAbout(check, output) : output.trim();
    if (complaint !== null) failures += 1;
    const seconds = ((performance.now() - startedAtMs) / 1000).toFixed(1);
    console.log(complaint === null ? `ok    ${check.name} (${seconds} s)` : `FAIL  ${check.name}\n${complaint}\n`);
  }
}

function complaintAbout(check: Check, output: string): string | null {
  if (check.filesSeen === undefined) return null;
  const seen = Number(check.filesSeen.exec(output)?.[1] ?? 0);
  return seen >= filesSeenMin ? null : `it saw ${seen} files, expected at least ${filesSeenMin}`;
}

function run(check: Check): Promise<{ code: number; output: string }> {
  const [program, ...args] = check.command;
  const child = spawn(join(root, "node_modules", ".bin", program), args, {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()));
  return new Promise((resolve) => {
    child.on("error", (error) => resolve({ code: 1, output: error.message }));
    child.on("close", (code) => resolve({ code: code ?? 1, output }));
  });
}

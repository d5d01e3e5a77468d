/**
 * Runs the randomised tests for longer: npm test gives each a bounded number of seeds, here ALOFT_SOAK multiplies it.
 *
 *   npm run soak            20 times the usual number
 *   npm run soak -- 500     500 times
 *
 * A test takes part by reading ALOFT_SOAK. When none does, that is a failure: nothing was soaked.
 */
import { spawnSync } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
const factor = Number(process.argv[2] ?? 20);
const files = globSync("{src,guest,sdk,test}/**/*.test.ts", { cwd: root }).filter((file) =>
  readFileSync(join(root, file), "utf8").includes("ALOFT_SOAK"),
);

if (!Number.isInteger(factor) || factor < 1) stop(`"${process.argv[2]}" is not a whole number of at least 1`);
if (files.length === 0) stop("no test reads ALOFT_SOAK, so there is nothing to run for longer");
console.log(`soak: ${files.length} files, ${factor} times their usual number of runs`);
const { status } = spawnSync(process.execPath, ["--test", "--test-concurrency=2", ...files], {
  cwd: root,
  stdio: "inherit",
  env: { ...process.env, ALOFT_SOAK: String(factor) },
});
process.exitCode = status ?? 1;

function stop(sentence: string): never {
  console.error(`soak: ${sentence}`);
  process.exit(1);
}

/**
 * Runs the randomised tests for longer: npm test gives each a bounded number of runs, here they get a multiple of it.
 *
 *   npm run soak                        20 times the usual number
 *   npm run soak -- 500                 500 times
 *   npm run soak -- 500 simulation      of the files with this in their path alone
 *
 * A test takes part by using fast-check without a number of runs of its own, by multiplying its own with ALOFT_SOAK, or by
 * simulating seeds. When none does, that is a failure: nothing was soaked.
 */
import { spawnSync } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const root = join(import.meta.dirname, "..");
const factor = Number(process.argv[2] ?? 20);
const within = process.argv[3] ?? "";
const files = globSync(["{src,guest,sdk,test}/**/*.test.ts", "examples/*/*.test.ts"], { cwd: root }).filter(
  (file) =>
    file.includes(within) &&
    /ALOFT_SOAK|from "fast-check"|from "[^"]*(?:\.suite|\/seeds)\.ts"/.test(readFileSync(join(root, file), "utf8")),
);

if (!Number.isInteger(factor) || factor < 1) stop(`"${process.argv[2]}" is not a whole number of at least 1`);
if (files.length === 0) stop("no test there is randomised, so there is nothing to run for longer");
console.log(`soak: ${files.length} files, ${factor} times their usual number of runs`);
const preload = pathToFileURL(join(root, "scripts", "soak-runs.ts")).href;
const { status } = spawnSync(process.execPath, ["--import", preload, "--test", "--test-concurrency=2", ...files], {
  cwd: root,
  stdio: "inherit",
  env: { ...process.env, ALOFT_SOAK: String(factor) },
});
process.exitCode = status ?? 1;

function stop(sentence: string): never {
  console.error(`soak: ${sentence}`);
  process.exit(1);
}

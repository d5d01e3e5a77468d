/**
 * The pages of docs/ that are made from the code, so that nobody copies a value by hand.
 *
 *   node scripts/docs.ts            says which pages differ, exit code 1 when any does
 *   node scripts/docs.ts --write    writes them (`npm run docs`)
 *
 * test/docs.test.ts compares the same pages.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { commandsMarkdown } from "../src/cli/help.ts";
import { settingsMarkdown } from "../src/config.ts";
import { errorTable, type ErrorRow } from "../src/contract/errors.ts";
import { functionLimits, limits, type Range } from "../src/contract/limits.ts";
import { imageProbes } from "../test/escape/image-probes.ts";
import { networkProbes } from "../test/escape/network-probes.ts";
import { forgeries, jsProbes, systemCallProbes } from "../test/escape/probes.ts";
import { pythonProbes } from "../test/escape/python-probes.ts";

const root = join(import.meta.dirname, "..");

/** Path from the root -> whole content. */
export const generatedPages: Readonly<Record<string, () => string>> = {
  "docs/errors.md": errorsMarkdown,
  "docs/limits.md": limitsMarkdown,
  "docs/settings.md": settingsMarkdown,
  "docs/commands.md": commandsMarkdown,
  "docs/escapes.md": escapesMarkdown,
};

async function main(): Promise<void> {
  for (const [path, make] of Object.entries(generatedPages)) {
    const file = join(root, path);
    const current = await readFile(file, "utf8").catch(() => "");
    if (current === make()) continue;
    if (process.argv.includes("--write")) {
      await writeFile(file, make());
      console.log(`written: ${path}`);
    } else {
      console.log(`differs from the code: ${path}; run \`npm run docs\``);
      process.exitCode = 1;
    }
  }
}

function errorsMarkdown(): string {
  const rows = Object.entries<ErrorRow>(errorTable);
  return `# Errors

<!-- Made from \`errorTable\` in src/contract/errors.ts by scripts/docs.ts; a test holds the two together. -->

Every error that leaves Aloft has one of these codes. Over HTTP it is a problem document (RFC 9457,
\`application/problem+json\`) with the code as a member \`code\`; the command line prints the code, the message and a line
that says what to do, and with \`--json\` the same document.

\`fault\` says whose doing it is: \`caller\` (the request or the command is wrong), \`app\` (the code or the configuration of
the app failed) or \`platform\` (Aloft or the machine failed or is at a limit). Status is the HTTP status where the error can
reach a caller.

| code | status | fault | about |
| --- | --- | --- | --- |
${rows.map(([code, row]) => `| \`${code}\` | ${row.status} | ${row.fault} | ${row.about} |`).join("\n")}
`;
}

function escapesMarkdown(): string {
  const kinds = { JavaScript: [...jsProbes, ...networkProbes], C: systemCallProbes, Python: pythonProbes };
  const rows = Object.entries(kinds).flatMap(([language, probes]) =>
    probes.map(({ name, about, process }) => `| \`${name}\` | ${language} | ${about} | refused | ${process} |`),
  );
  return `# What code inside a sandbox tries

<!-- Made from the lists of probes in test/escape/ by scripts/docs.ts; a test holds the two together. -->

\`test/escape/\` deploys an app that tries each of these, in both sandboxes. \`oci\` has to refuse all ${rows.length}. \`process\` is
no wall (see [sandbox.md](sandbox.md)): the last column says what to expect where the server runs as root, on a machine that
has the thing at all. \`process\` refuses a few only because there is nothing to try: it has no router.

| probe | in | the code tries to | \`oci\` | \`process\` |
| --- | --- | --- | --- | --- |
${rows.join("\n")}

\`test/escape/image-escape.test.ts\` runs an image as its root, which has six capabilities over the image's own users, and as another
user. Both are refused all of the probes in C above (root is root already), and these:

| probe | a program of an image tries to |
| --- | --- |
${imageProbes.map(({ name, about }) => `| \`${name}\` | ${about} |`).join("\n")}

An instance can write what it likes on the platform's own socket. In both sandboxes these end the instance, with
\`WIRE_VIOLATION\` for the invocations it had, and nothing else:

${forgeries.map(({ name, about }) => `- \`${name}\`: ${about}`).join("\n")}
`;
}

function limitsMarkdown(): string {
  const ranges = Object.entries<Range>(functionLimits);
  const bounds = Object.entries<number>(limits);
  return `# Limits

<!-- Made from src/contract/limits.ts by scripts/docs.ts, where each bound has its reason; a test holds the two together. -->

Everything in Aloft is bounded. The unit ends the name; values are shown for reading, with the exact number beside them.

## Of a function

A function may set these in its code or in \`aloft.json\`, within the range.

| name | default | from | to |
| --- | --- | --- | --- |
${ranges.map(([name, { standard, min, max }]) => `| \`${name}\` | ${readable(name, standard)} | ${readable(name, min)} | ${readable(name, max)} |`).join("\n")}

## Of the platform

| name | value | exactly |
| --- | --- | --- |
${bounds.map(([name, value]) => `| \`${name}\` | ${readable(name, value)} | ${value} |`).join("\n")}
`;
}

/** By the unit that ends the name: 262144 of `...Bytes` -> "256 KiB". A unit is used only when it divides the value. */
export function readable(name: string, value: number): string {
  if (name.endsWith("Ms")) return inLargest(value, durationUnits);
  if (name.endsWith("MiB")) return inLargest(value * 1024 ** 2, sizeUnits);
  if (/bytes(?:PerInstance)?$/i.test(name)) return inLargest(value, sizeUnits);
  return value.toLocaleString("en-US");
}

type Unit = readonly [name: string, size: number];
const durationUnits: readonly Unit[] = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["min", 60_000],
  ["s", 1000],
  ["ms", 1],
];
const sizeUnits: readonly Unit[] = [
  ["GiB", 1024 ** 3],
  ["MiB", 1024 ** 2],
  ["KiB", 1024],
  ["B", 1],
];

function inLargest(value: number, units: readonly Unit[]): string {
  const unit = units.find(([, size]) => value !== 0 && value % size === 0);
  const [name, size] = unit ?? units.at(-1) ?? ["", 1];
  return `${value / size} ${name}`;
}

if (import.meta.main) await main();

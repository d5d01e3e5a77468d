/**
 * The program that tests kill, trace and starve: `FILE MODE COUNT`.
 * `write`: 16 callers write pairs of keys for ever; each number is printed once its commit has resolved.
 * `lonely`: COUNT commits, one after the other. `group`: as many, from 50 callers at once. Both wait for a line before and after.
 * `limit`: commits until one fails, with the limit on the size of files that it was started with; then has it lifted, goes on.
 */
import { execFileSync } from "node:child_process";
import { writeSync } from "node:fs";
import { AloftError } from "../../contract/errors.ts";
import type { Write } from "../../contract/keyspace.ts";
import { systemClock } from "../../lib/clock.ts";
import { encodeTuple } from "../../contract/tuple.ts";
import { openSqliteKeyspace } from "./sqlite-keyspace.ts";

const [file = "", mode = "", countText = "0"] = process.argv.slice(2);
const count = Number(countText);
// Merging and checkpoints are provoked in the crash test and kept out of the counts.
const unmergedEntries = mode === "write" ? 50 : 1_000_000;
const keyspace = await openSqliteKeyspace({
  file,
  clock: systemClock,
  reserveBytes: 0,
  unmergedEntries,
  idleMs: 600_000,
});

switch (mode) {
  case "write":
    await Promise.all(Array.from({ length: 16 }, (_, writer) => writeForEver(writer)));
    break;
  case "lonely":
    for (let number = 0; number < count; number++) await commitPair("lonely", number);
    break;
  case "group":
    await Promise.all(Array.from({ length: 50 }, (_, caller) => commitSome(`group${caller}`, count / 50)));
    break;
  case "limit":
    await writeOverLimit();
}
process.kill(process.pid, "SIGKILL"); // without a close, which would sync once more

async function writeForEver(writer: number): Promise<void> {
  for (let number = await lastOf(writer); ; number++) {
    await commitPair(`w${writer}`, number);
    writeSync(1, `${writer} ${number}\n`);
  }
}

async function lastOf(writer: number): Promise<number> {
  const [entry] = await keyspace.get([encodeTuple(["last", `w${writer}`])]);
  return entry === null || entry === undefined ? 0 : Buffer.from(entry.value).readUInt32LE() + 1;
}

/** Every few numbers a large value, and the pair of ten before is deleted, so that everything the file can hold is in it. */
async function commitPair(name: string, number: number): Promise<void> {
  const last = Buffer.alloc(4);
  last.writeUInt32LE(number);
  const value = Buffer.alloc(number % 7 === 3 ? 5000 : number % 50, name);
  const writes: Write[] = [
    { kind: "set", key: encodeTuple(["last", name]), value: last },
    { kind: "set", key: encodeTuple(["left", name, number]), value },
    { kind: "set", key: encodeTuple(["right", name, number]), value },
  ];
  if (number >= 10) {
    writes.push({ kind: "delete", key: encodeTuple(["left", name, number - 10]) });
    writes.push({ kind: "delete", key: encodeTuple(["right", name, number - 10]) });
  }
  await keyspace.commit({ checks: [], writes });
}

async function commitSome(name: string, times: number): Promise<void> {
  for (let number = 0; number < times; number++) await commitPair(name, number);
}

async function writeOverLimit(): Promise<void> {
  let number = 0;
  try {
    for (; ; number++) await commitPair("w", number);
  } catch (error) {
    writeSync(1, `failed ${error instanceof AloftError ? error.code : String(error)}\n`);
  }
  execFileSync("prlimit", ["--pid", String(process.pid), "--fsize=unlimited:unlimited"]);
  // What was unknown is repeated: the same keys with the same values.
  for (let more = 0; more < 20; more++) await commitPair("w", number + more);
  writeSync(1, `acknowledged ${number + 19}\n`);
}

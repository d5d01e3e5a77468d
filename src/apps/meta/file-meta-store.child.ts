/**
 * The program that the crash tests kill: `FILE MODE`.
 * `write`: commits pairs of keys from four writers for ever and prints each number once its commit has resolved.
 * `fill`: commits until the disk is full, then has its limit on file size lifted and goes on; prints what happened.
 */
import { execFileSync } from "node:child_process";
import { writeSync } from "node:fs";
import { AloftError } from "../../contract/errors.ts";
import { openFileMetaStore } from "./file-meta-store.ts";

const [file = "", mode = ""] = process.argv.slice(2);
const store = await openFileMetaStore({ file, compactBytes: 16 * 1024 });

if (mode === "write") await Promise.all(["w0", "w1", "w2", "w3"].map(writeForEver));
else await fill();

async function writeForEver(writer: string): Promise<void> {
  for (let number = store.list(`${writer}/left/`).length; ; number++) {
    const name = String(number).padStart(8, "0");
    await store.commit({
      checks: [{ key: `${writer}/left/${name}`, value: null }],
      writes: [
        { key: `${writer}/left/${name}`, value: "x".repeat(number % 50) },
        { key: `${writer}/right/${name}`, value: "y" },
      ],
    });
    writeSync(1, `${writer} ${name}\n`);
  }
}

async function fill(): Promise<void> {
  let number = 0;
  for (; ; number++) {
    try {
      await store.commit({ checks: [], writes: [{ key: `k/${number}`, value: "x".repeat(1000) }] });
    } catch (error) {
      writeSync(1, `refused ${error instanceof AloftError ? error.code : String(error)}\n`);
      break;
    }
  }
  // A removal is a write too; with no room even for that, the store must still answer from memory.
  writeSync(1, `kept ${store.list("k/").length === number}\n`);
  execFileSync("prlimit", ["--pid", String(process.pid), "--fsize=unlimited:unlimited"]);
  await store.commit({ checks: [], writes: [{ key: `k/${number}`, value: "later" }] });
  writeSync(1, `acknowledged ${number + 1}\n`);
}

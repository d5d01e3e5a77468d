import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { limits } from "../contract/limits.ts";
import { OutputLines } from "./output-lines.ts";

test("a program that prints without end is read at a bounded rate, and nothing of it is lost", async () => {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  let chars = 0;
  const output = new OutputLines({ stdout, stderr }, (_stream, line) => (chars += line.length));
  const block = "x".repeat(limits.logLineBytes - 1) + "\n";
  const blocks = 32;
  for (let n = 0; n < blocks; n += 1) stdout.write(block);
  stdout.end();
  // As many turns as it likes: without time passing there is no more than its share.
  for (let turn = 0; turn < 100 && !stdout.isPaused(); turn += 1) await new Promise((resolve) => setImmediate(resolve));
  assert.ok(stdout.isPaused());
  const all = blocks * (block.length - 1);
  assert.ok(chars > 0 && chars < all, `${chars}`);
  await once(stdout, "end");
  output.end();
  assert.equal(chars, all);
});

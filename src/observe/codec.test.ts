import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { limits } from "../contract/limits.ts";
import type { InvocationRecord, LogLine } from "../contract/observing.ts";
import { BlockReader } from "./block.ts";
import { decodeLog, levels, LogEncoder } from "./log-codec.ts";
import { readOrigins } from "./origins.ts";
import { decodeRecord, outcomes, RecordEncoder, triggers } from "./record-codec.ts";

const hexId = fc.stringMatching(/^[0-9a-f]{32}$/);
const text = fc.string({ unit: "grapheme", maxLength: 200 });
const u48 = fc.nat({ max: 2 ** 48 - 1 });
const record: fc.Arbitrary<InvocationRecord> = fc.record(
  {
    id: hexId,
    app: text,
    alias: text,
    function: text,
    deployment: fc.constantFrom("", "d".repeat(40), "e".repeat(40)),
    trigger: fc.constantFrom(...triggers),
    startedAtMs: u48,
    waitUs: u48,
    coldUs: u48,
    handlerUs: u48,
    status: fc.nat({ max: 999 }),
    outcome: fc.constantFrom(...outcomes),
    attempt: fc.nat({ max: 65535 }),
    memoryBytes: u48,
    errorCode: fc.constantFrom("", "FUNCTION_THREW"),
    errorMessage: text,
    subject: text,
  },
  { noNullPrototype: true },
);
const line: fc.Arbitrary<LogLine> = fc.record(
  {
    atMs: u48,
    app: text,
    function: text,
    deployment: text,
    invocation: fc.oneof(
      fc.constant(""),
      hexId.filter((id) => !/^0+$/.test(id)),
    ),
    level: fc.constantFrom(...levels),
    stream: fc.constantFrom("stdout", "stderr", "console", "platform"),
    message: text,
  },
  { noNullPrototype: true },
);

function readAll<Item>(block: Uint8Array, decode: (reader: BlockReader) => Item): Item[] {
  const reader = new BlockReader(block);
  const items: Item[] = [];
  while (reader.next()) items.push(decode(reader));
  return items;
}

test("every field of every record survives a block", () => {
  const encoder = new RecordEncoder(new ArrayBuffer(limits.observeChunkBytes));
  fc.assert(
    fc.property(fc.array(record, { maxLength: 20 }), (records) => {
      encoder.begin(new ArrayBuffer(limits.observeChunkBytes));
      for (const item of records) assert.equal(encoder.append(item), true);
      assert.deepEqual(readAll(encoder.block.bytes.subarray(0, encoder.block.offset), decodeRecord), records);
      assert.equal(encoder.block.count, records.length);
      assert.equal(encoder.block.lastMs, Math.max(...records.map((item) => item.startedAtMs)));
    }),
  );
});

test("every field of every log line survives a block", () => {
  fc.assert(
    fc.property(fc.array(line, { maxLength: 20 }), (lines) => {
      const encoder = new LogEncoder(new ArrayBuffer(limits.observeChunkBytes));
      for (const item of lines) assert.equal(encoder.append(item), true);
      assert.deepEqual(readAll(encoder.block.bytes.subarray(0, encoder.block.offset), decodeLog), lines);
    }),
  );
});

test("fields that are too long are cut between characters, and fill a block without leaving it", () => {
  const encoder = new RecordEncoder(new ArrayBuffer(limits.observeChunkBytes));
  const [plain] = fc.sample(record, { numRuns: 1, seed: 1 });
  assert(plain !== undefined);
  const long = { ...plain, app: "世".repeat(9000), subject: "世".repeat(9000), errorMessage: "e".repeat(1_000_000) };
  let count = 0;
  while (encoder.append({ ...long, alias: `${count}`.padEnd(9000, "é") })) count++;
  const read = readAll(encoder.block.bytes.subarray(0, encoder.block.offset), decodeRecord);
  assert.equal(read.length, count);
  assert(count > 10);
  assert.equal(read[0]?.app, "世".repeat(limits.observeNameChars));
  assert.equal(read[0]?.subject, "世".repeat(limits.recordTextChars));
  assert.equal(read[0]?.errorMessage.length, limits.recordTextChars);

  const logs = new LogEncoder(new ArrayBuffer(limits.observeChunkBytes));
  const base = {
    atMs: 1,
    app: "a",
    function: "",
    deployment: "",
    invocation: "",
    level: "info",
    stream: "stdout",
  } as const;
  assert.equal(logs.append({ ...base, message: `x${"世".repeat(100_000)}` }), true);
  const [cut] = readAll(logs.block.bytes.subarray(0, logs.block.offset), decodeLog);
  assert.equal(cut?.message, `x${"世".repeat(Math.floor((limits.logLineBytes - 1) / 3))}`);
});

test("numbers outside their range become the nearest inside it, and nothing throws", () => {
  const encoder = new RecordEncoder(new ArrayBuffer(limits.observeChunkBytes));
  const [plain] = fc.sample(record, { numRuns: 1, seed: 1 });
  assert(plain !== undefined);
  encoder.append({
    ...plain,
    id: "short",
    waitUs: -1,
    coldUs: Number.NaN,
    handlerUs: Infinity,
    memoryBytes: 1.9,
    attempt: 1e9,
  });
  const [read] = readAll(encoder.block.bytes.subarray(0, encoder.block.offset), decodeRecord);
  assert.deepEqual(
    [read?.id, read?.waitUs, read?.coldUs, read?.handlerUs, read?.memoryBytes, read?.attempt],
    ["0".repeat(32), 0, 0, 2 ** 48 - 1, 1, 65535],
  );
});

test("ids are read in either case and kept in lower case", () => {
  const encoder = new RecordEncoder(new ArrayBuffer(limits.observeChunkBytes));
  const [plain] = fc.sample(record, { numRuns: 1, seed: 1 });
  assert(plain !== undefined);
  encoder.append({ ...plain, id: "0123456789ABCDEFfedcba9876543210" });
  assert.equal(
    readAll(encoder.block.bytes.subarray(0, encoder.block.offset), decodeRecord)[0]?.id,
    "0123456789abcdeffedcba9876543210",
  );
});

test("a block names the functions it holds, or that they are too many", () => {
  const encoder = new RecordEncoder(new ArrayBuffer(limits.observeChunkBytes));
  const [plain] = fc.sample(record, { numRuns: 1, seed: 1 });
  assert(plain !== undefined);
  for (const [app, name] of [
    ["a", "x"],
    ["a", "y"],
    ["b", "x"],
    ["a", "x"],
  ] as const)
    encoder.append({ ...plain, app, function: name });
  const block = encoder.block.bytes.subarray(0, encoder.block.offset);
  assert.deepEqual(readOrigins(block, 3), [
    { app: "a", function: "x" },
    { app: "a", function: "y" },
    { app: "b", function: "x" },
  ]);
  assert.equal(readOrigins(block, 2), null);
});

test("bytes that are no block are refused with a RangeError, whatever they are", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (bytes, hasVersion) => {
      if (hasVersion && bytes.length > 0) bytes[0] = 1;
      try {
        readAll(bytes, decodeRecord);
        readAll(bytes, decodeLog);
      } catch (error) {
        assert(error instanceof RangeError, String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

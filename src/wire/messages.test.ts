import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Flag, FrameType, InvokeKind, payloadBytesMax } from "./frames.ts";
import {
  Gatherer,
  packNumbered,
  readHead,
  readInvoke,
  readLog,
  readPong,
  unpackNumbered,
  withoutBytes,
  writeHeadBytes,
  writeHeadText,
  writeInvoke,
  writeLog,
  writePong,
} from "./messages.ts";
import { FrameReader, WireError } from "./reader.ts";
import { FrameWriter } from "./writer.ts";

type Parse<T> = (bytes: Buffer, start: number, end: number) => T;

/** What `parse` makes of the one frame that `write` writes. */
function roundTrip<T>(
  write: (writer: FrameWriter) => void,
  parse: Parse<T>,
): { value: T; flags: number; body: Buffer } {
  const parts: Buffer[] = [];
  const writer = new FrameWriter((bytes, sent) => {
    parts.push(Buffer.from(bytes));
    sent();
  });
  write(writer);
  writer.flush();
  let result: { value: T; flags: number; body: Buffer } | null = null;
  const reader = new FrameReader((_type, flags, _stream, bytes, start, end) => {
    const value = parse(bytes, start, end);
    const bodyStart = (value as { bodyStart?: number }).bodyStart ?? end;
    result = { value, flags, body: Buffer.from(bytes.subarray(bodyStart, end)) };
  });
  reader.push(Buffer.concat(parts));
  assert.ok(result !== null);
  return result;
}

const latin1 = fc.string({
  unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
  maxLength: 500,
});

test("an invoke frame keeps its fields, its text and its body", () => {
  fc.assert(
    fc.property(
      latin1,
      fc.uint8Array({ maxLength: 1000 }),
      fc.nat({ max: 65_535 }),
      fc.nat(),
      (text, body, number, timeoutMs) => {
        const got = roundTrip(
          (writer) => writeInvoke(writer, 3, Flag.end, InvokeKind.call, number, timeoutMs, text, body),
          readInvoke,
        );
        assert.equal(got.value.kind, InvokeKind.call);
        assert.equal(got.value.functionNumber, number);
        assert.equal(got.value.timeoutMs, timeoutMs);
        assert.equal(got.value.text, text);
        assert.ok(got.body.equals(body));
        assert.equal(got.flags, Flag.end);
      },
    ),
  );
});

test("a head frame keeps its status, its text and a body of text or bytes", () => {
  fc.assert(
    fc.property(latin1, fc.string({ unit: "grapheme" }), fc.integer({ min: 100, max: 999 }), (text, body, status) => {
      const asText = roundTrip(
        (writer) => void writeHeadText(writer, 1, Flag.end | Flag.done, status, text, body),
        readHead,
      );
      assert.deepEqual([asText.value.status, asText.value.text, asText.body.toString()], [status, text, body]);
      const asBytes = roundTrip(
        (writer) => void writeHeadBytes(writer, 1, 0, status, text, Buffer.from(body)),
        readHead,
      );
      assert.deepEqual([asBytes.value.status, asBytes.value.text, asBytes.body.toString()], [status, text, body]);
    }),
  );
});

test("an answer that does not fit one frame is not written", () => {
  const writer = new FrameWriter(() => assert.fail("nothing is to be sent"));
  assert.equal(writeHeadBytes(writer, 1, 0, 200, "", Buffer.alloc(payloadBytesMax)), false);
  assert.equal(writeHeadText(writer, 1, 0, 200, "", "x".repeat(payloadBytesMax)), false);
  writer.close();
});

test("log and pong keep their fields", () => {
  const log = { level: 2, source: 1, atMs: 1_700_000_000_000.5, text: "grüße 🚀" };
  assert.deepEqual(roundTrip((writer) => writeLog(writer, 1, log), readLog).value, log);
  const pong = { number: 7, inFlight: 3, utilisation: 0.25, heapBytes: 1e9 };
  assert.deepEqual(roundTrip((writer) => writePong(writer, pong), readPong).value, pong);
});

test("a payload that is too short, or says it is longer than it is, is a WireError", () => {
  const short = Buffer.alloc(4);
  const lying = Buffer.alloc(20);
  lying.writeUInt32LE(1000, 8);
  lying.writeUInt32LE(1000, 2);
  for (const read of [readInvoke, readHead] as Parse<unknown>[]) {
    assert.throws(() => read(short, 0, short.length), WireError);
    assert.throws(() => read(lying, 0, lying.length), WireError);
  }
  assert.throws(() => readLog(short, 0, short.length), WireError);
  assert.throws(() => readPong(short, 0, short.length), WireError);
});

test("a chunked message is put together again, and one over its limit is a WireError", () => {
  const message = Buffer.alloc(150_000, "abc");
  const gatherer = new Gatherer(200_000);
  let whole: Buffer | null = null;
  const parts: Buffer[] = [];
  const writer = new FrameWriter((bytes, sent) => {
    parts.push(Buffer.from(bytes));
    sent();
  });
  writer.chunked(FrameType.ready, 0, 0, message);
  writer.flush();
  const reader = new FrameReader((_type, flags, _stream, bytes, start, end) => {
    whole = gatherer.add(bytes, start, end, (flags & Flag.more) === 0);
  });
  reader.push(Buffer.concat(parts));
  assert.ok(whole !== null && message.equals(whole));
  assert.throws(() => new Gatherer(10).add(message, 0, 11, false), WireError);
});

test("a numbered message carries its JSON, and bytes behind it whatever they are", () => {
  const bytesOrNone = fc.option(fc.uint8Array({ maxLength: 200 }));
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.json(), bytesOrNone, (number, json, bytes) => {
      const found = unpackNumbered(packNumbered(number, json, bytes));
      assert.deepEqual([found.number, found.json], [number, json]);
      assert.deepEqual(found.bytes === null ? null : [...found.bytes], bytes === null ? null : [...bytes]);
    }),
  );
  assert.throws(() => unpackNumbered(Buffer.alloc(3)), WireError);
});

test("bytes are taken out where they are bytes, and nothing else is", () => {
  const bytes = new Uint8Array([0, 1]);
  assert.deepEqual(withoutBytes({ key: "a", bytes }), { rest: { key: "a" }, bytes });
  for (const holder of [{ key: "a" }, { bytes: [0, 1] }, { bytes: "text" }])
    assert.deepEqual(withoutBytes(holder), { rest: holder, bytes: null });
});

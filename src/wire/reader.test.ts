import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Flag, FrameType, frameBytesMax, headBytes, payloadBytesMax } from "./frames.ts";
import { FrameReader, WireError } from "./reader.ts";
import { FrameWriter } from "./writer.ts";

interface Seen {
  type: number;
  flags: number;
  stream: number;
  payload: string;
}

function collect(): { seen: Seen[]; reader: FrameReader } {
  const seen: Seen[] = [];
  const reader = new FrameReader((type, flags, stream, bytes, start, end) => {
    seen.push({ type, flags, stream, payload: bytes.toString("hex", start, end) });
  });
  return { seen, reader };
}

/** All bytes that the writer sends for what `write` writes. */
function written(write: (writer: FrameWriter) => void): Buffer {
  const parts: Buffer[] = [];
  const writer = new FrameWriter((bytes, sent) => {
    parts.push(Buffer.from(bytes));
    sent();
  });
  write(writer);
  writer.flush();
  return Buffer.concat(parts);
}

const anyFrame = fc.record({
  type: fc.constantFrom(...Object.values(FrameType)),
  flags: fc.integer({ min: 0, max: Flag.end | Flag.done | Flag.more }),
  stream: fc.integer({ min: 0, max: 0xffffffff }),
  payload: fc.uint8Array({ maxLength: 2000 }),
});

test("frames come out as they went in, however the bytes are cut", () => {
  fc.assert(
    fc.property(fc.array(anyFrame, { maxLength: 20 }), fc.array(fc.integer({ min: 1, max: 500 })), (frames, cuts) => {
      const bytes = written((writer) => {
        for (const { type, flags, stream, payload } of frames) writer.bytes(type, flags, stream, payload);
      });
      const { seen, reader } = collect();
      let at = 0;
      for (const cut of cuts) {
        reader.push(bytes.subarray(at, at + cut));
        at += cut;
      }
      if (at < bytes.length) reader.push(bytes.subarray(at));
      const expected = frames.map(({ type, flags, stream, payload }) => ({
        type,
        flags,
        stream,
        payload: Buffer.from(payload).toString("hex"),
      }));
      assert.deepEqual(seen, expected);
    }),
  );
});

test("any interleaving of streams keeps each stream's bytes in order and whole", () => {
  const chunk = fc.record({ stream: fc.integer({ min: 1, max: 5 }), bytes: fc.uint8Array({ maxLength: 70_000 }) });
  fc.assert(
    fc.property(fc.array(chunk, { maxLength: 12 }), fc.integer({ min: 1, max: 100_000 }), (chunks, cut) => {
      const bytes = written((writer) => {
        for (const { stream, bytes: part } of chunks) writer.body(0, stream, part);
      });
      const got = new Map<number, Buffer[]>();
      const reader = new FrameReader((_type, _flags, stream, from, start, end) => {
        got.set(stream, [...(got.get(stream) ?? []), Buffer.from(from.subarray(start, end))]);
      });
      for (let at = 0; at < bytes.length; at += cut) reader.push(bytes.subarray(at, at + cut));
      for (let stream = 1; stream <= 5; stream += 1) {
        const sent = Buffer.concat(chunks.filter((one) => one.stream === stream).map((one) => one.bytes));
        assert.ok(Buffer.concat(got.get(stream) ?? []).equals(sent));
      }
    }),
    { numRuns: 50 },
  );
});

test("random bytes either give frames within the bounds or a WireError, never anything else", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 10 }), (parts) => {
      const reader = new FrameReader((type, flags, _stream, bytes, start, end) => {
        assert.ok(type >= 1 && type <= 19);
        assert.ok(flags <= 7);
        assert.ok(start <= end && end <= bytes.length && end - start <= payloadBytesMax);
      });
      try {
        for (const part of parts) reader.push(Buffer.from(part));
      } catch (error) {
        assert.ok(error instanceof WireError);
      }
    }),
    { numRuns: 2000 },
  );
});

test("frames with one byte changed give frames within the bounds or a WireError", () => {
  fc.assert(
    fc.property(
      fc.array(anyFrame, { minLength: 1, maxLength: 5 }),
      fc.nat(),
      fc.nat({ max: 255 }),
      (frames, place, value) => {
        const bytes = written((writer) => {
          for (const { type, flags, stream, payload } of frames) writer.bytes(type, flags, stream, payload);
        });
        bytes[place % bytes.length] = value;
        const reader = new FrameReader((_type, _flags, _stream, from, start, end) => {
          assert.ok(start <= end && end <= from.length);
        });
        try {
          reader.push(bytes);
        } catch (error) {
          assert.ok(error instanceof WireError);
        }
      },
    ),
    { numRuns: 1000 },
  );
});

test("a truncated frame is not delivered until its last byte has come", () => {
  const bytes = written((writer) => writer.bytes(FrameType.body, Flag.end, 7, Buffer.from("hello")));
  const { seen, reader } = collect();
  for (const byte of bytes.subarray(0, -1)) reader.push(Buffer.of(byte));
  assert.deepEqual(seen, []);
  reader.push(bytes.subarray(-1));
  assert.deepEqual(seen, [
    { type: FrameType.body, flags: Flag.end, stream: 7, payload: Buffer.from("hello").toString("hex") },
  ]);
});

test("what is not a frame is refused before its payload is waited for", () => {
  function head(change: (bytes: Buffer) => void): Buffer {
    const bytes = Buffer.alloc(headBytes);
    bytes[4] = FrameType.body;
    change(bytes);
    return bytes;
  }
  const table: [string, Buffer][] = [
    ["payload over the limit", head((bytes) => bytes.writeUInt32LE(payloadBytesMax + 1, 0))],
    ["type 0", head((bytes) => (bytes[4] = 0))],
    ["unknown type", head((bytes) => (bytes[4] = 20))],
    ["unknown flag", head((bytes) => (bytes[5] = 8))],
    ["reserved byte", head((bytes) => (bytes[6] = 1))],
  ];
  for (const [name, bytes] of table) {
    assert.throws(() => collect().reader.push(bytes), WireError, name);
  }
});

test("a frame of the largest size passes", () => {
  const payload = Buffer.alloc(payloadBytesMax, 1);
  const bytes = written((writer) => writer.bytes(FrameType.body, 0, 1, payload));
  assert.equal(bytes.length, frameBytesMax);
  const { seen, reader } = collect();
  reader.push(bytes);
  assert.equal(seen[0]?.payload, payload.toString("hex"));
});

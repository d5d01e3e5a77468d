import assert from "node:assert/strict";
import { test } from "node:test";
import { FrameType } from "../../src/wire/frames.ts";
import type { CallMessage } from "../../src/wire/messages.ts";
import { FrameReader } from "../../src/wire/reader.ts";
import { FrameWriter } from "../../src/wire/writer.ts";
import { NodeCalls } from "./node-calls.ts";

interface Sent {
  readonly number: number;
  readonly call: CallMessage;
}

class Node {
  readonly sent: Sent[] = [];
  readonly #reader = new FrameReader((type, _flags, _stream, bytes, start, end) => {
    assert.equal(type, FrameType.call);
    const call = JSON.parse(bytes.toString("utf8", start + 4, end)) as CallMessage;
    this.sent.push({ number: bytes.readUInt32LE(start), call });
  });
  readonly #writer = new FrameWriter((bytes, sent) => {
    this.#reader.push(Buffer.from(bytes));
    sent();
  });
  readonly calls = new NodeCalls(this.#writer);

  /** Those that were sent since it was looked at last. */
  async take(): Promise<Sent[]> {
    await new Promise((resolve) => setImmediate(resolve));
    return this.sent.splice(0);
  }

  reply({ number }: Sent, value: unknown): void {
    const json = Buffer.from(`....${JSON.stringify({ ok: true, value })}`);
    json.writeUInt32LE(number);
    this.calls.onReply(0, 0, json, 0, json.length);
  }
}

const watch = (key: string): CallMessage => ({
  op: "read",
  resource: "kv",
  name: "seats",
  method: "watch",
  args: { key },
});
const get: CallMessage = { op: "read", resource: "kv", name: "seats", method: "get", args: { key: "a" } };

test("watches, however many, hold up no other call", async () => {
  const node = new Node();
  const watching = Array.from({ length: 2100 }, (_, n) => node.calls.ask(watch(`seat ${n}`), 0));
  const got = node.calls.ask(get, 0);
  const sent = await node.take();
  assert.equal(sent.length, 2001);
  const asked = sent.at(-1) ?? assert.fail();
  assert.deepEqual(asked.call, get);
  node.reply(asked, "here");
  assert.equal(await got, "here");
  for (const one of sent.slice(0, 2000)) node.reply(one, "changed");
  const later = await node.take();
  assert.equal(later.length, 100, "the others have their turn");
  for (const one of later) node.reply(one, "changed");
  assert.equal(new Set(await Promise.all(watching)).size, 1);
});

test("those who wait in line for a key leave room for the one whose turn it is", async () => {
  const node = new Node();
  for (let n = 0; n < 300; n++) void node.calls.ask({ op: "enter", where: "kv seats a" }, 0);
  void node.calls.ask({ op: "commit", seen: [], effects: [] }, 0);
  assert.equal((await node.take()).at(-1)?.call.op, "commit");
});

test("no more than 256 other calls are open at once; more are sent as the first are answered", async () => {
  const node = new Node();
  const asked = Array.from({ length: 300 }, () => node.calls.ask(get, 0));
  const first = await node.take();
  assert.equal(first.length, 256);
  for (const one of first) node.reply(one, null);
  const second = await node.take();
  assert.equal(second.length, 44);
  for (const one of second) node.reply(one, null);
  await Promise.all(asked);
  void node.calls.ask(get, 0);
  assert.equal((await node.take()).length, 1);
});

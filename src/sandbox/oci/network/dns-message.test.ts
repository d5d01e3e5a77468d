import assert from "node:assert/strict";
import { test } from "node:test";
import { answersTo, emptyAnswer, readAddresses, readQuestion } from "./dns-message.ts";

/** A query for the addresses of a name, as a C library writes it. */
function queryFor(name: string, { id = 7, type = 1, flags = 0x0100 } = {}): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt16BE(id, 0);
  head.writeUInt16BE(flags, 2);
  head.writeUInt16BE(1, 4);
  const labels = name.split(".").map((label) => Buffer.from(`${String.fromCodePoint(label.length)}${label}`, "latin1"));
  return Buffer.concat([head, ...labels, Buffer.from([0, 0, type, 0, 1])]);
}

/** An answer with records of (name, type, data). */
function answerTo(query: Buffer, records: readonly (readonly [Buffer, number, Buffer])[]): Buffer {
  const head = Buffer.from(query);
  head.writeUInt16BE(0x8180, 2);
  head.writeUInt16BE(records.length, 6);
  const parts = records.map(([name, type, data]) => {
    const fixed = Buffer.from([0, type, 0, 1, 0, 0, 1, 44, 0, data.length]);
    return Buffer.concat([name, fixed, data]);
  });
  return Buffer.concat([head, ...parts]);
}

const pointer = Buffer.from([0xc0, 12]);

test("the question is read with its name in lower case", () => {
  const query = queryFor("API.Example.com", { id: 513, type: 28 });
  assert.deepEqual(readQuestion(query), { id: 513, name: "api.example.com", type: 28, end: query.length });
});

test("what is no plain question is not read, whatever its bytes are", () => {
  const query = queryFor("example.com");
  assert.equal(readQuestion(queryFor("example.com", { flags: 0x8180 })), null);
  for (let length = 0; length < query.length; length += 1) assert.equal(readQuestion(query.subarray(0, length)), null);
  const pointing = Buffer.from(query);
  pointing[12] = 0xc0;
  assert.equal(readQuestion(pointing), null);
  const many = Buffer.from(query);
  many.writeUInt16BE(2, 4);
  assert.equal(readQuestion(many), null);
});

test("addresses are read behind aliases, and other records are passed over", () => {
  const query = queryFor("example.com");
  const question = readQuestion(query);
  assert.ok(question !== null);
  const alias = Buffer.from("\u0003www\u0007example\u0003com\0", "latin1");
  const answer = answerTo(query, [
    [pointer, 5, alias],
    [alias, 1, Buffer.from([203, 0, 113, 10])],
    [pointer, 28, Buffer.alloc(16)],
    [pointer, 1, Buffer.from([203, 0, 113, 11])],
  ]);
  const found = readAddresses(question, answer);
  assert.deepEqual(found, [
    { address: 0xcb00_710a, ttlMs: 300_000 },
    { address: 0xcb00_710b, ttlMs: 300_000 },
  ]);
  for (let length = question.end; length < answer.length; length += 1) {
    assert.ok(readAddresses(question, answer.subarray(0, length)).length <= 2);
  }
});

test("an answer to another question, or with another number, is none", () => {
  const query = queryFor("example.com");
  const question = readQuestion(query);
  assert.ok(question !== null);
  assert.ok(answersTo(question, query, answerTo(query, [])));
  assert.ok(!answersTo(question, query, answerTo(queryFor("example.com", { id: 8 }), [])));
  assert.ok(!answersTo(question, query, answerTo(queryFor("examplf.com"), [])));
  assert.ok(!answersTo(question, query, query));
  assert.ok(!answersTo(question, query, Buffer.alloc(3)));
});

test("an answer without records repeats the question and nothing else", () => {
  const query = Buffer.concat([queryFor("example.com"), Buffer.alloc(11, 1)]);
  query.writeUInt16BE(1, 10);
  const question = readQuestion(query);
  assert.ok(question !== null);
  const answer = emptyAnswer(query, question, 3);
  assert.equal(answer.length, question.end);
  assert.equal(answer.readUInt16BE(2), 0x8183);
  assert.equal(answer.readUInt16BE(10), 0);
  assert.ok(answersTo(question, query, answer));
});

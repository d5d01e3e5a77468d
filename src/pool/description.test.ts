import assert from "node:assert/strict";
import { test } from "node:test";
import { AloftError } from "../contract/errors.ts";
import { parseDescription } from "./description.ts";

const one = { name: "hello", style: "http", triggers: [{ kind: "http", method: "GET", path: "/hello" }], limits: {} };
const with_ = (over: object): unknown => ({ functions: [{ ...one, ...over }] });

test("a description is read with its names, routes and limits, and nothing else of it is kept", () => {
  const limits = {
    memoryMiB: 512,
    timeoutMs: 2000,
    concurrency: 2,
    minInstances: 1,
    maxInstances: 4,
    keepAliveMs: 0,
    more: 1,
  };
  assert.deepEqual(parseDescription(with_({ limits, extra: true })), [
    {
      ...one,
      limits: { memoryMiB: 512, timeoutMs: 2000, concurrency: 2, minInstances: 1, maxInstances: 4, keepAliveMs: 0 },
    },
  ]);
  assert.deepEqual(parseDescription({ functions: [] }), []);
  assert.deepEqual(parseDescription(with_({ limits: undefined }))[0]?.limits, {});
});

test("a description that is not valid is refused with what is wrong with it", () => {
  let deep: unknown = 1;
  for (let depth = 0; depth < 100_000; depth += 1) deep = [deep];
  const table: [unknown, RegExp][] = [
    [null, /no list of functions/],
    [[], /no list of functions/],
    ["functions", /no list of functions/],
    [{ functions: {} }, /no list of functions/],
    [{ functions: Array.from({ length: 1001 }, () => one) }, /1001 functions, over the limit of 1000/],
    [{ functions: [one, one] }, /two functions are called hello/],
    [{ functions: [null] }, /not described by an object/],
    [{ functions: [[]] }, /not described by an object/],
    [with_({ name: "" }), /"" is not a name/],
    [with_({ name: "a--b" }), /"a--b" is not a name/],
    [with_({ name: 7 }), /7 is not a name/],
    [with_({ name: undefined }), /is not a name/],
    [with_({ name: deep }), /is not a name/],
    [with_({ name: "x".repeat(1_000_000) }), /^.{1,300}$/],
    [with_({ style: "cgi" }), /unknown style/],
    [with_({ style: null }), /unknown style/],
    [with_({ triggers: null }), /no list of triggers/],
    [with_({ triggers: Array.from({ length: 101 }, () => one.triggers[0]) }), /no list of triggers/],
    [with_({ triggers: [{ kind: "smoke" }] }), /no trigger of the kind "smoke"/],
    [with_({ triggers: [null] }), /no kind/],
    [with_({ triggers: [{ kind: "http", method: "GET" }] }), /no method or path/],
    [with_({ triggers: [{ kind: "http", method: "FETCH", path: "/" }] }), /is not a route/],
    [with_({ triggers: [{ kind: "http", method: "*", path: "no" }] }), /is not a route/],
    [with_({ limits: { memoryMiB: 63 } }), /memoryMiB of the function hello is 63; .* from 64 to 16384/],
    [with_({ limits: { timeoutMs: 99 } }), /timeoutMs/],
    [with_({ limits: { timeoutMs: 1.5e6 } }), /timeoutMs/],
    [with_({ limits: { concurrency: 0 } }), /concurrency/],
    [with_({ limits: { concurrency: 1.5 } }), /1\.5/],
    [with_({ limits: { minInstances: -1 } }), /-1/],
    [with_({ limits: { maxInstances: "4" } }), /"4"/],
    [with_({ limits: { maxInstances: deep } }), /maxInstances/],
    [with_({ limits: { keepAliveMs: null } }), /null/],
  ];
  for (const [value, says] of table) {
    assert.throws(
      () => parseDescription(value),
      (error) => error instanceof AloftError && error.status === 400 && says.test(error.message),
      String(says),
    );
  }
});

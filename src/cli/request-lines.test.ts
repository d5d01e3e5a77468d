import assert from "node:assert/strict";
import { test } from "node:test";
import type { InvocationRecord, LogLine } from "../contract/observing.ts";
import { RequestLines } from "./request-lines.ts";

function log(invocation: string, message: string): LogLine {
  return { atMs: 0, app: "a", function: "f", deployment: "", invocation, level: "info", stream: "console", message };
}

function record(id: string): InvocationRecord {
  return { id } as InvocationRecord;
}

function open(): { lines: RequestLines; printed: string[] } {
  const printed: string[] = [];
  const lines = new RequestLines({
    printRecord: ({ id }) => printed.push(`record ${id}`),
    printLog: ({ message }) => printed.push(message),
  });
  return { lines, printed };
}

test("what a request logged stands below its line", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { lines, printed } = open();
  lines.addLog(log("1", "one"));
  lines.addLog(log("2", "other"));
  lines.addLog(log("1", "two"));
  lines.addRecord(record("1"));
  lines.addRecord(record("2"));
  assert.deepEqual(printed, ["record 1", "one", "two", "record 2", "other"]);
});

test("the logs of a slow request do not wait for its end", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { lines, printed } = open();
  lines.addLog(log("1", "begun"));
  t.mock.timers.tick(250);
  assert.deepEqual(printed, ["begun"]);
});

test("lines of no request, and those of one that writes very many, are printed as they come", () => {
  const { lines, printed } = open();
  lines.addLog(log("", "import"));
  assert.deepEqual(printed, ["import"]);
  for (let n = 0; n < 100; n++) lines.addLog(log("1", String(n)));
  assert.equal(printed.length, 101);
  lines.addLog(log("2", "last"));
  lines.close();
  assert.equal(printed.at(-1), "last");
});

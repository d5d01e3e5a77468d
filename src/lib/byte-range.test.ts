import assert from "node:assert/strict";
import { test } from "node:test";
import { parseByteRange } from "./byte-range.ts";

test("a range is the bytes that are there of those asked for", () => {
  const part = (start: number, end: number): object => ({ kind: "part", start, end });
  const table: [header: string | undefined, size: number, expected: object][] = [
    [undefined, 10, { kind: "whole" }],
    ["bytes=0-0", 10, part(0, 1)],
    ["bytes=2-", 10, part(2, 10)],
    ["bytes=2-99", 10, part(2, 10)],
    [" bytes=2-4 ", 10, part(2, 5)],
    ["bytes=-3", 10, part(7, 10)],
    ["bytes=-30", 10, part(0, 10)],
    ["bytes=10-", 10, { kind: "none" }],
    ["bytes=-0", 10, { kind: "none" }],
    ["bytes=0-", 0, { kind: "none" }],
    ["bytes=4-2", 10, { kind: "whole" }],
    ["bytes=-", 10, { kind: "whole" }],
    ["bytes=0-1,4-5", 10, { kind: "whole" }],
    ["bytes=a-b", 10, { kind: "whole" }],
    ["lines=0-1", 10, { kind: "whole" }],
    ["bytes=99999999999999999-", 10, { kind: "whole" }],
  ];
  for (const [header, size, expected] of table)
    assert.deepEqual(parseByteRange(header, size), expected, String(header));
});

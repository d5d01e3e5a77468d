import assert from "node:assert/strict";
import { test } from "node:test";
import { formatBytes, parseBytes } from "./sizes.ts";

test("a size is read in its unit", () => {
  const table: [string, number | null][] = [
    ["0", 0],
    ["1024", 1024],
    ["7B", 7],
    ["512KiB", 524_288],
    ["100MiB", 104_857_600],
    ["100 MiB", 104_857_600],
    ["1.5gib", 1_610_612_736],
    ["10MB", 10_000_000],
    ["ib", null],
    ["5iB", null],
    ["-1", null],
    ["0.3", null],
    ["MiB", null],
    ["99999999TiB", null],
  ];
  for (const [text, expected] of table) assert.equal(parseBytes(text), expected, text);
});

test("a size is written short", () => {
  const sizes = [0, 512, 1024, 12_595, 104_857_600, 1_610_612_736, 1_048_575];
  assert.deepEqual(sizes.map(formatBytes), ["0 B", "512 B", "1 KiB", "12.3 KiB", "100 MiB", "1.5 GiB", "1.0 MiB"]);
});

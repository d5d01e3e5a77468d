import assert from "node:assert/strict";
import { test } from "node:test";
import { editDistance, nearestWord } from "./edit-distance.ts";

test("the distance counts insertions, deletions, replacements and swaps", () => {
  const table: [string, string, number][] = [
    ["", "", 0],
    ["", "abc", 3],
    ["deploy", "deploy", 0],
    ["depoly", "deploy", 1],
    ["deply", "deploy", 1],
    ["logs", "logz", 1],
    ["kitten", "sitting", 3],
  ];
  for (const [a, b, expected] of table) {
    assert.equal(editDistance(a, b), expected, `${a} ${b}`);
    assert.equal(editDistance(b, a), expected, `${b} ${a}`);
  }
});

test("the nearest word is suggested, and nothing when all are far", () => {
  const words = ["deploy", "deployments", "dev", "delete", "logs"];
  assert.equal(nearestWord("depoly", words), "deploy");
  assert.equal(nearestWord("deploymnets", words), "deployments");
  assert.equal(nearestWord("LOGS", words), "logs");
  assert.equal(nearestWord("lgos", words), "logs");
  assert.equal(nearestWord("banana", words), null);
  assert.equal(nearestWord("x", []), null);
});

test("a word of two letters has one slip", () => {
  assert.equal(nearestWord("de", ["dev", "serve"]), "dev");
});

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { schemaFile, schemaText } from "../scripts/schema.ts";

test("the published JSON Schema is the one that validates aloft.json", () => {
  assert.equal(readFileSync(schemaFile, "utf8"), schemaText(), "run: node scripts/schema.ts");
});

test("the published JSON Schema knows every key and no others", () => {
  const schema = JSON.parse(readFileSync(schemaFile, "utf8")) as Record<string, never>;
  assert.deepEqual(Object.keys(schema["properties"] ?? {}), [
    "$schema",
    "name",
    "entry",
    "runtime",
    "handler",
    "command",
    "ready",
    "domains",
    "network",
    "variables",
    "external",
    "files",
    "layers",
    "defaults",
    "functions",
  ]);
  assert.equal(schema["additionalProperties"], false);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { openMemoryMetaStore } from "../apps/meta/memory-meta-store.ts";
import { openTokens } from "./tokens.ts";

test("without a given token one is made once, and only its hash is kept", async () => {
  const rows = openMemoryMetaStore();
  const first = await openTokens(rows);
  const token = first.printed ?? "";
  assert.match(token, /^aloft_[\w-]{43}$/);
  assert.ok(first.isValid(token));
  assert.ok(!first.isValid(`${token}x`));
  assert.ok(!first.isValid(""));
  assert.ok(!JSON.stringify(rows.list("")).includes(token));
  const second = await openTokens(rows);
  assert.equal(second.printed, undefined);
  assert.ok(second.isValid(token));
});

test("a given token replaces the one before it, and one that could be guessed is refused", async () => {
  const rows = openMemoryMetaStore();
  const made = (await openTokens(rows)).printed ?? "";
  const given = await openTokens(rows, "a-token-of-good-length");
  assert.equal(given.printed, undefined);
  assert.ok(given.isValid("a-token-of-good-length"));
  assert.ok(!given.isValid(made));
  assert.ok((await openTokens(rows)).isValid("a-token-of-good-length"));
  await assert.rejects(openTokens(rows, "short"), { code: "SETTING_INVALID" });
  await assert.rejects(openTokens(rows, "spaces are not possible"), { code: "SETTING_INVALID" });
});

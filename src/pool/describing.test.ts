import assert from "node:assert/strict";
import { test } from "node:test";
import type { AloftError } from "../contract/errors.ts";
import { limits } from "../contract/limits.ts";
import { TestPool, turns, until } from "./pool.fixture.ts";

const request = { app: "shop", root: "/code", entry: "main.js", variableNames: ["KEY"] } as const;

async function describing(t: Parameters<typeof TestPool.open>[0]) {
  const it = await TestPool.open(t);
  it.sandbox.habits.imports = false;
  const described = it.pool.describe(request);
  described.catch(() => {});
  await until(() => it.guests[0]?.assigned?.mode === "describe");
  return { it, described, guest: it.guest };
}

function failsWith(code: string, says: RegExp): (error: AloftError) => boolean {
  return (error) => error.code === code && says.test(error.message);
}

test("describing imports the code with placeholders for its variables, and its process ends with that", async (t) => {
  const { it, described, guest } = await describing(t);
  assert.deepEqual(guest.assigned?.variables, { KEY: "aloft-placeholder" });
  assert.equal(guest.network, "none");
  guest.ready({ functions: [{ name: "hello", style: "fn", triggers: [], limits: { concurrency: 3 } }] });
  assert.deepEqual(await described, [{ name: "hello", style: "fn", triggers: [], limits: { concurrency: 3 } }]);
  await until(() => guest.hasEnded);
  await it.advance(100);
  await until(() => !it.pool.isTimed);
});

test("an import that throws is refused with the user's error and what was printed", async (t) => {
  const { described, guest } = await describing(t);
  guest.log("connecting to the database");
  guest.failed("no database");
  await assert.rejects(described, (error: AloftError) => {
    assert.match(error.message, /no database/);
    assert.deepEqual(error.detail?.["output"], ["connecting to the database"]);
    return error.code === "DESCRIBE_FAILED" && error.fault === "app";
  });
});

test("an import that does not end within ten seconds is refused", async (t) => {
  const { it, described, guest } = await describing(t);
  await it.advance(limits.describeMs - 100);
  assert.ok(!guest.wasKilled);
  await it.advance(200);
  await assert.rejects(described, failsWith("DESCRIBE_FAILED", /longer than 10 s/));
});

test("an import that takes more memory than there is for it is refused", async (t) => {
  const { it, described, guest } = await describing(t);
  guest.habits.memoryBytes = (limits.describeMemoryMiB + 1) * 1024 * 1024;
  await it.advance(200);
  await assert.rejects(described, failsWith("DESCRIBE_FAILED", /256 MiB/));
});

test("code that ends its process, or breaks the protocol, or calls functions while imported is refused", async (t) => {
  const exiting = await describing(t);
  exiting.guest.die({ code: 0 });
  await assert.rejects(exiting.described, failsWith("DESCRIBE_FAILED", /exit code 0 while the code was imported/));
  const breaking = await describing(t);
  breaking.guest.begun(4);
  await assert.rejects(breaking.described, failsWith("DESCRIBE_FAILED", /stream 4/));
  const calling = await describing(t);
  calling.guest.call(0, 1, "other");
  await turns();
  assert.match(calling.guest.received.at(-1)?.payload.toString() ?? "", /INVOCATION_ENDED/);
  calling.guest.ready({ functions: [] });
  assert.deepEqual(await calling.described, []);
});

test("a description that is none is refused", async (t) => {
  const { described, guest } = await describing(t);
  guest.ready({ functions: "many" });
  await assert.rejects(described, failsWith("DESCRIBE_FAILED", /no list of functions/));
});

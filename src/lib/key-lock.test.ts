import assert from "node:assert/strict";
import { test } from "node:test";
import { KeyLock } from "./key-lock.ts";

test("work of one key runs one after the other, other keys at the same time, and a failure holds up nobody", async () => {
  const lock = new KeyLock();
  const events: string[] = [];
  async function step(name: string): Promise<void> {
    events.push(`${name} begins`);
    await new Promise(setImmediate);
    events.push(`${name} ends`);
  }
  const failing = lock.run("a", async () => {
    await step("a1");
    throw new Error("a1");
  });
  const rest = [lock.run("a", () => step("a2")), lock.run("b", () => step("b1"))];
  await assert.rejects(failing, { message: "a1" });
  await Promise.all(rest);
  assert.deepEqual(
    events.filter((event) => event.startsWith("a")),
    ["a1 begins", "a1 ends", "a2 begins", "a2 ends"],
  );
  assert.ok(events.indexOf("b1 begins") < events.indexOf("a1 ends"));
});

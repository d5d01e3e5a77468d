import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../lib/clock.ts";
import { aborted, listenForStop } from "./stopping.ts";

test("one Ctrl-C that arrives several times is one wish, a later one is a second", async () => {
  const clock = new ManualClock();
  let seconds = 0;
  const stopping = listenForStop(() => seconds++, clock);
  process.emit("SIGINT");
  clock.advance(100);
  process.emit("SIGINT");
  process.emit("SIGTERM");
  await aborted(stopping.signal);
  assert.equal(seconds, 0);
  clock.advance(1000);
  process.emit("SIGINT");
  assert.equal(seconds, 1);
  stopping.close();
  assert.equal(process.listenerCount("SIGINT"), 0);
});

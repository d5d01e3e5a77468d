import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../lib/clock.ts";
import { HostIdPool, idRestMs } from "./host-ids.ts";

test("no two instances have a number in common", () => {
  const ids = new HostIdPool({ first: 5000, count: 100 }, new ManualClock());
  const taken = Array.from({ length: 50 }, () => ids.take()).flatMap(({ owner, program }) => [owner, program]);
  assert.equal(new Set(taken).size, 100);
  assert.deepEqual([Math.min(...taken), Math.max(...taken)], [5000, 5099]);
  assert.throws(() => ids.take(), { code: "SANDBOX_START_FAILED", message: /all 100 user numbers/ });
});

test("a number rests before somebody else has it, the longest rested first", () => {
  const clock = new ManualClock();
  const ids = new HostIdPool({ first: 5000, count: 4 }, clock, () => 0);
  const [one, other] = [ids.take(), ids.take()];
  ids.giveBack(one);
  clock.advance(1000);
  ids.giveBack(other);
  clock.advance(idRestMs - 1001);
  assert.throws(() => ids.take(), { code: "SANDBOX_START_FAILED" });
  clock.advance(1);
  assert.deepEqual(ids.take(), one);
  assert.throws(() => ids.take(), { code: "SANDBOX_START_FAILED" });
  clock.advance(1000);
  assert.deepEqual(ids.take(), other);
});

test("a server that starts again begins elsewhere in its range", () => {
  const ids = new HostIdPool({ first: 5000, count: 10 }, new ManualClock(), () => 0.5);
  assert.deepEqual(
    [ids.take(), ids.take().owner, ids.take().owner, ids.take().owner],
    [{ owner: 5004, program: 5005 }, 5006, 5008, 5000],
  );
});

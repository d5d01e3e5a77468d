import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConsumerOptions, parseStreamShape } from "./stream-options.ts";

test("durations and sizes may be text or numbers", () => {
  assert.deepEqual(parseStreamShape("logs", { partitions: 4, retention: "1d", retentionBytes: "1MiB" }), {
    partitions: 4,
    retentionMs: 86_400_000,
    retentionBytes: 1_048_576,
  });
  const { window, from } = parseConsumerOptions("logs", {
    from: "2026-03-01T12:00:00+01:00",
    size: "1m",
    every: 20_000,
  });
  assert.equal(from, "2026-03-01T11:00:00.000Z");
  assert.deepEqual(window, { sizeMs: 60_000, everyMs: 20_000, latenessMs: 0, idleMs: 30_000, closeAfterMs: null });
});

const refused: [options: Record<string, unknown>, message: RegExp][] = [
  [{ partitions: 0 }, /partitions is 0; allowed is a whole number from 1 to/],
  [{ partitions: 1.5 }, /partitions is 1.5/],
  [{ retention: "-1d" }, /retention is "-1d"/],
  [{ retention: "forever" }, /retention is "forever"; allowed is a duration/],
  [{ retentionBytes: "many" }, /retentionBytes is "many"/],
  [{ from: "yesterday" }, /from is "yesterday"; allowed is "latest", "earliest", an offset, or a time/],
  [{ from: 7 }, /from is 7/],
  [{ batch: 1e9 }, /batch is 1000000000/],
  [{ parallel: -1 }, /parallel is -1/],
  [{ attempts: "many" }, /attempts is "many"/],
  [{ deadLetter: "" }, /deadLetter is ""/],
  [{ bacth: 5 }, /no option "bacth"; did you mean "batch"/],
  [{ size: "10s", every: "1m" }, /every is over size/],
  [{ size: "10s", every: "3s" }, /multiple of every/],
  [{ size: "1d", every: "1ms" }, /multiple of every, at most/],
];

for (const [options, message] of refused) {
  test(`refused: ${JSON.stringify(options)}`, () =>
    assert.throws(() => parseConsumerOptions("logs", options), message));
}

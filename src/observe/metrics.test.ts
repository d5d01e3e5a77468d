import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import { test } from "node:test";
import { limits } from "../contract/limits.ts";
import type { InvocationRecord, ObserveStats } from "../contract/observing.ts";
import { Metrics } from "./metrics.ts";

const stats: ObserveStats = {
  recordsAccepted: 5,
  recordsWritten: 4,
  recordsDropped: 1,
  logsAccepted: 0,
  logsWritten: 0,
  logsDropped: 0,
};

function recordOf(change: Partial<InvocationRecord>): InvocationRecord {
  return {
    id: "0".repeat(32),
    app: "shop",
    alias: "production",
    function: "cart",
    deployment: "d",
    trigger: "http",
    startedAtMs: 0,
    waitUs: 0,
    coldUs: 0,
    handlerUs: 0,
    status: 200,
    outcome: "ok",
    attempt: 1,
    memoryBytes: 0,
    errorCode: "",
    errorMessage: "",
    subject: "",
    ...change,
  };
}

test("invocations are counted by function and outcome, with their durations in buckets", (t) => {
  const metrics = new Metrics();
  t.after(() => metrics.close());
  // Bounds belong to their bucket: 128 us to the first, 129 us to the second.
  for (const handlerUs of [0, 128, 129, 256, 257, 67_108_864, 67_108_865, 2 ** 40])
    metrics.count(recordOf({ handlerUs }));
  metrics.count(recordOf({ waitUs: 4000, coldUs: 3000, outcome: "error" }));
  metrics.count(recordOf({ app: "blog", function: 'a"b\\c' }));
  const lines = metrics.text(stats).split("\n");
  const expected = [
    'aloft_invocations_total{app="shop",function="cart",outcome="ok"} 8',
    'aloft_invocations_total{app="shop",function="cart",outcome="error"} 1',
    'aloft_invocations_total{app="blog",function="a\\"b\\\\c",outcome="ok"} 1',
    'aloft_invocation_duration_seconds_bucket{app="shop",function="cart",outcome="ok",le="0.000128"} 2',
    'aloft_invocation_duration_seconds_bucket{app="shop",function="cart",outcome="ok",le="0.000256"} 4',
    'aloft_invocation_duration_seconds_bucket{app="shop",function="cart",outcome="ok",le="0.000512"} 5',
    'aloft_invocation_duration_seconds_bucket{app="shop",function="cart",outcome="ok",le="67.108864"} 6',
    'aloft_invocation_duration_seconds_bucket{app="shop",function="cart",outcome="ok",le="+Inf"} 8',
    'aloft_invocation_duration_seconds_sum{app="shop",function="cart",outcome="error"} 0.004',
    'aloft_invocation_duration_seconds_count{app="shop",function="cart",outcome="error"} 1',
    'aloft_wait_seconds_total{app="shop",function="cart"} 0.004',
    'aloft_cold_starts_total{app="shop",function="cart"} 1',
    'aloft_observe_total{kind="records",what="dropped"} 1',
  ];
  for (const line of expected) assert(lines.includes(line), line);
});

test("every line is a comment or a sample that Prometheus can read", async (t) => {
  const metrics = new Metrics();
  t.after(() => metrics.close());
  metrics.count(recordOf({}));
  metrics.text(stats);
  await setImmediate();
  const text = metrics.text(stats);
  for (const line of text.trimEnd().split("\n"))
    assert.match(line, /^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.e+-]+)$/);
  assert.match(text, /^process_resident_memory_bytes [1-9][0-9]+$/m);
  assert.match(text, /^aloft_event_loop_delay_seconds\{quantile="0.99"\} [0-9.]+$/m);
});

test("functions over the limit are counted together", (t) => {
  const metrics = new Metrics();
  t.after(() => metrics.close());
  for (let i = 0; i < limits.metricSeries + 3; i++) metrics.count(recordOf({ app: `app-${i}` }));
  assert.match(metrics.text(stats), /^aloft_invocations_total\{app="",function="",outcome="ok"\} 3$/m);
});

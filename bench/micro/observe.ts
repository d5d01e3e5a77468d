/**
 * What a record costs: nanoseconds of the main thread for `record()`, and processor time of both threads together, at a
 * steady 35,000 records/s and in bursts. Run: node bench/micro/observe.ts [seconds]
 */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { InvocationRecord } from "../../src/contract/observing.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import { openObserver } from "../../src/observe/observer.ts";

const seconds = Number(process.argv[2] ?? 5);
const apps = Array.from({ length: 200 }, (_, i) => ({
  app: `app-${i}`,
  deployment: Buffer.alloc(20, i).toString("hex"),
}));
const folder = mkdtempSync(join(tmpdir(), "observe-bench-"));
const observer = await openObserver({ folder, clock: systemClock, metrics: new Metrics() });

const ids = Array.from(
  { length: 8192 },
  (_, i) =>
    (Date.now() + (i >> 5)).toString(16).padStart(12, "0") +
    Buffer.from(crypto.getRandomValues(new Uint8Array(10))).toString("hex"),
);
function recordOf(i: number, appCount: number): InvocationRecord {
  const { app, deployment } = pick(apps, i % appCount);
  return {
    id: pick(ids, i & 8191),
    app,
    alias: "production",
    function: "default",
    deployment,
    trigger: "http",
    startedAtMs: Date.now(),
    waitUs: 40 + (i & 63),
    coldUs: 0,
    handlerUs: 300 + (i & 255),
    status: 200,
    outcome: "ok",
    attempt: 1,
    memoryBytes: 60_000_000,
    errorCode: "",
    errorMessage: "",
    subject: "GET /items",
  };
}

for (const appCount of [1, 200]) {
  // Bursts: what record() takes by itself. The records are made beforehand.
  const records = Array.from({ length: 512 }, (_, i) => recordOf(i, appCount));
  const samples: number[] = [];
  for (let round = 0; round < 60; round++) {
    const begin = process.hrtime.bigint();
    for (let i = 0; i < 8192; i++) observer.record(pick(records, i & 511));
    samples.push(Number(process.hrtime.bigint() - begin) / 8192);
    await observer.flush();
  }
  samples.sort((a, b) => a - b);
  console.log(
    `${appCount} apps: record() ${pick(samples, 30).toFixed(0)} ns median, ${pick(samples, 57).toFixed(0)} ns at the 95th percentile`,
  );

  // Steady: 350 each 10 ms; the cost of making nothing is taken off by a run without record().
  const idle = await steady(false, records);
  const busy = await steady(true, records);
  const count = seconds * 35_000;
  const main = process.threadCpuUsage !== undefined ? (busy.main - idle.main) / count : Number.NaN;
  const all = (busy.all - idle.all) / count;
  console.log(
    `${appCount} apps, 35,000/s: main thread ${(main * 1000).toFixed(0)} ns a record, other threads ${((all - main) * 1000).toFixed(0)} ns, ${JSON.stringify(observer.stats())}`,
  );
}
await observer.flush();
console.log(
  `file ${(statSync(join(folder, "records.db")).size / 1e6).toFixed(1)} MB, ${(statSync(join(folder, "records.db")).size / observer.stats().recordsWritten).toFixed(1)} bytes a record, rss ${(process.memoryUsage.rss() / 1e6).toFixed(0)} MB`,
);
let begin = performance.now();
await observer.listRecords({ limit: 1000 });
console.log(`newest 1,000: ${(performance.now() - begin).toFixed(1)} ms`);
begin = performance.now();
await observer.listRecords({ outcome: "error" });
console.log(`an outcome that never occurred: ${(performance.now() - begin).toFixed(1)} ms`);
begin = performance.now();
await observer.findRecord(pick(ids, 77));
console.log(`one id: ${(performance.now() - begin).toFixed(1)} ms`);
await observer.close();
rmSync(folder, { recursive: true });

async function steady(
  isRecording: boolean,
  records: readonly InvocationRecord[],
): Promise<{ all: number; main: number }> {
  const all = process.cpuUsage();
  const main = process.threadCpuUsage();
  const begin = performance.now();
  let done = 0;
  while (done < seconds * 35_000) {
    const due = Math.min(seconds * 35_000, Math.floor((performance.now() - begin) * 35));
    for (; done < due; done++) if (isRecording) observer.record(pick(records, done & 511));
    await sleep(10);
  }
  if (isRecording) await observer.flush();
  const allNow = process.cpuUsage(all);
  const mainNow = process.threadCpuUsage(main);
  return { all: allNow.user + allNow.system, main: mainNow.user + mainNow.system };
}

function pick<T>(list: readonly T[], index: number): T {
  const found = list[index];
  if (found === undefined) throw new RangeError(`nothing at ${index}`);
  return found;
}

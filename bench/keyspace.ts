/**
 * The keyspace: durable commits and point reads beside bare node:sqlite in the same rounds. All loads are closed loops, so a
 * rate is what that many callers get. The delay of the event loop is that of the thread on which a server serves.
 */
import { aloftLoads, bareLoads, measureAloft, measureBare, type Sample } from "./keyspace-load.ts";
import { type Goal, type Report, formatMs, formatRate, formatRatio } from "./lib/report.ts";
import { interleave, ratiosByRound } from "./lib/rounds.ts";
import { median } from "./lib/stats.ts";
import type { BenchOptions } from "./options.ts";

type AloftLoad = keyof typeof aloftLoads;
type BareLoad = keyof typeof bareLoads;

const measurements = [
  ...Object.keys(bareLoads).map((load) => ({ name: `node:sqlite, ${load}`, bare: load as BareLoad })),
  ...Object.keys(aloftLoads).map((load) => ({ name: load, aloft: load as AloftLoad })),
];
type Measurement = (typeof measurements)[number];

/** How far above a bare commit a lone one may be: the way to the writer's thread and back. */
const hopUs = 150;
const loopMsMax = 5;

export async function benchKeyspace(options: BenchOptions): Promise<Report> {
  const found = await interleave(measurements, options.rounds, (measurement: Measurement, round) => {
    console.log(`keyspace: round ${round + 1}, ${measurement.name}`);
    return "bare" in measurement
      ? measureBare(measurement.bare, options.seconds)
      : measureAloft(measurement.aloft, options.seconds);
  });
  const samples = new Map(measurements.map((each) => [each.name, found.get(each) ?? []]));
  return {
    part: "keyspace",
    tables: [
      {
        title: "keyspace: commits and reads (medians)",
        columns: ["", "callers", "a second", "p50 ms", "p99 ms", "CPU us each", "event loop p99 ms"],
        rows: measurements.map((each) => rowOf(each, samples.get(each.name) ?? [])),
      },
    ],
    goals: goalsOf(samples),
    notes: [
      "every commit is durable before it is answered; values have 200 bytes, keys are drawn from 20,000",
      `one key: ${ratioOf(samples, "one key", "groups of 64")} times the rate of bare commits in groups of 64`,
      `read one key: ${ratioOf(samples, "read one key", "read one key")} times the rate of bare reads`,
    ],
    samples: Object.fromEntries(samples),
  };
}

function rowOf(measurement: Measurement, samples: readonly Sample[]): string[] {
  const callers = "bare" in measurement ? bareLoads[measurement.bare].callers : aloftLoads[measurement.aloft].callers;
  const middle = (pick: (sample: Sample) => number): number => median(samples.map(pick));
  return [
    measurement.name,
    String(callers),
    formatRate(middle(({ perSecond }) => perSecond)),
    formatMs(middle(({ p50Us }) => p50Us)),
    formatMs(middle(({ p99Us }) => p99Us)),
    middle(({ cpuUs }) => cpuUs).toFixed(1),
    formatMs(middle(({ loopP99Ms }) => loopP99Ms * 1000)),
  ];
}

/** The median of the rounds' ratios: what is left of a figure when the machine is busy. */
function ratioOf(samples: ReadonlyMap<string, readonly Sample[]>, aloft: AloftLoad, bare: BareLoad): string {
  const rates = (name: string): number[] => (samples.get(name) ?? []).map(({ perSecond }) => perSecond);
  return formatRatio(median(ratiosByRound(rates(aloft), rates(`node:sqlite, ${bare}`))));
}

function goalsOf(samples: ReadonlyMap<string, readonly Sample[]>): Goal[] {
  const of = (name: string, pick: (sample: Sample) => number): number[] => (samples.get(name) ?? []).map(pick);
  const rate = (what: string, name: AloftLoad, least: number): Goal => {
    const reached = median(of(name, ({ perSecond }) => perSecond));
    return { what, limit: `>= ${formatRate(least)}/s`, reached: `${formatRate(reached)}/s`, met: reached >= least };
  };
  const lone = of("alone", ({ p50Us }) => p50Us);
  const above = median(of("node:sqlite, alone", ({ p50Us }) => p50Us).map((bare, round) => (lone[round] ?? 0) - bare));
  const loops = (["one key", "append, then delete", "three keys, one check", "read one key"] as const).map((name) =>
    median(of(name, ({ loopP99Ms }) => loopP99Ms)),
  );
  return [
    rate("durable commits of one key, 64 callers", "one key", 60_000),
    rate("durable commits of three keys with a check, 64 callers", "three keys, one check", 20_000),
    rate("point reads, 64 callers", "read one key", 150_000),
    {
      what: "a lone commit above a bare one, p50",
      limit: `<= ${formatMs(hopUs)} ms`,
      reached: `${formatMs(above)} ms`,
      met: above <= hopUs,
    },
    {
      what: "delay of the event loop under each of these loads, p99",
      limit: `<= ${loopMsMax} ms`,
      reached: `${formatMs(Math.max(...loops) * 1000)} ms`,
      met: Math.max(...loops) <= loopMsMax,
    },
  ];
}

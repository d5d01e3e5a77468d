/**
 * Warm: how fast a running hello answers, beside the peers, all in one run and in turn.
 *
 * All contestants run the whole time, idle when it is not their turn; a load of one second before each measurement wakes
 * the one whose turn it is. Ratios are taken within a round.
 */
import type { Contestant } from "./lib/contestant.ts";
import { Field } from "./lib/field.ts";
import type { JobKind } from "./lib/job.ts";
import { type Goal, type Report, type Table, formatMs, formatRate, formatRatio } from "./lib/report.ts";
import { interleave, ratiosByRound } from "./lib/rounds.ts";
import { median, spreadOf } from "./lib/stats.ts";
import type { BenchOptions } from "./options.ts";
import { aloft } from "./peers/aloft.ts";
import { functionsFramework } from "./peers/functions-framework.ts";
import { nodeHttp } from "./peers/node-http.ts";
import { serverlessOffline } from "./peers/serverless-offline.ts";
import { workerd, workerdLoader } from "./peers/workerd.ts";
import { cpuTable } from "./warm-cpu.ts";
import { type ProcessShares, profileContestant, sharesTable } from "./warm-profile.ts";
import { type WarmCase, type WarmSample, sampleWarm } from "./warm-sample.ts";

const allContestants: readonly Contestant[] = [
  nodeHttp,
  aloft,
  functionsFramework,
  serverlessOffline,
  workerd,
  workerdLoader,
];
/** Those whose code is JavaScript throughout, and ours. */
const profiled = ["node:http", "aloft"];
const connectionCounts = [1, 32, 256];
const kinds: readonly JobKind[] = ["get", "post"];

export async function benchWarm(options: BenchOptions): Promise<Report> {
  const contestants = allContestants.filter(({ name }) => options.contestants?.includes(name) ?? true);
  const notes: string[] = [];
  const field = await Field.start(contestants, notes);
  const cases: WarmCase[] = [];
  const shares: ProcessShares[] = [];
  try {
    for (const kind of kinds) {
      for (const connections of connectionCounts) {
        console.log(`warm: ${kind}, ${connections} connections`);
        const samples = await interleave([...field.names()], options.rounds, async (name) => {
          const sample = await sampleWarm(field.get(name), kind, connections, options.seconds);
          await field.calm(name, sample.voidBecause.length > 0);
          return sample;
        });
        cases.push({ kind, connections, samples });
      }
    }
    for (const name of profiled) await profileInto(shares, notes, field, name, options.seconds);
  } finally {
    await field.stop();
  }
  return {
    part: "warm",
    tables: [...cases.map(caseTable), cpuTable(cases), sharesTable(shares)],
    goals: cases.flatMap(goalsOf),
    notes: [...notes, ...cases.flatMap(voidNotes)],
    samples: {
      versions: Object.fromEntries(contestants.map((one) => [one.name, one.version()])),
      shares,
      cases: cases.map((one) => ({ ...one, samples: Object.fromEntries(one.samples) })),
    },
  };
}

/** A profile that cannot be taken (a sandbox may keep signals out) is a note: it is no measurement. */
async function profileInto(
  shares: ProcessShares[],
  notes: string[],
  field: Field,
  name: string,
  seconds: number,
): Promise<void> {
  if (![...field.names()].includes(name)) return;
  try {
    shares.push(...(await profileContestant(name, field.get(name), seconds)));
  } catch (error) {
    notes.push(`${name} could not be profiled: ${String(error)}`);
  }
}

function caseTable({ kind, connections, samples }: WarmCase): Table {
  const bare = rates(samples.get("node:http"));
  return {
    title: `warm ${kind === "get" ? "GET hello" : "POST 1 KiB JSON"}, ${connections} connections (medians; latency in ms)`,
    columns: ["contestant", "requests/s", "least", "most", "x bare", "p50", "p90", "p99", "void"],
    rows: [...samples].map(([name, all]) => {
      const rate = spreadOf(rates(all));
      const latency = (field: "p50" | "p90" | "p99"): string =>
        formatMs(median(all.map(({ load }) => load.latencyUs[field])));
      return [
        name,
        ...[rate.median, rate.min, rate.max].map(formatRate),
        formatRatio(median(ratiosByRound(rates(all), bare))),
        latency("p50"),
        latency("p90"),
        latency("p99"),
        String(all.filter(({ voidBecause }) => voidBecause.length > 0).length || ""),
      ];
    }),
  };
}

function goalsOf({ kind, connections, samples }: WarmCase): Goal[] {
  const title = `${kind} at ${connections}`;
  const ours = samples.get("aloft");
  if (connections === 1) {
    const above = median(differences(p50s(ours), p50s(samples.get("node:http"))));
    return [
      {
        what: `${title}: p50 above node:http`,
        limit: "<= 0.08 ms",
        reached: `${formatMs(above)} ms`,
        met: metBy(above, above <= 80, ours),
      },
    ];
  }
  if (connections !== 32) return [];
  const against = (name: string, least: number, limit: string): Goal => {
    const ratio = median(ratiosByRound(rates(ours), rates(samples.get(name))));
    return {
      what: `${title}: rate over ${name}`,
      limit,
      reached: formatRatio(ratio),
      met: metBy(ratio, ratio >= least, ours),
    };
  };
  return [
    against("node:http", 0.6, ">= 0.60 (0.50 at the least)"),
    against("workerd loader", 3, ">= 3"),
    against("functions-framework", 5, ">= 5"),
  ];
}

/** A goal is met only by samples that count. */
function metBy(value: number, met: boolean, samples: readonly WarmSample[] | undefined): boolean | null {
  if (Number.isNaN(value)) return null;
  return met && (samples ?? []).every(({ voidBecause }) => voidBecause.length === 0);
}

function voidNotes({ kind, connections, samples }: WarmCase): string[] {
  return [...samples].flatMap(([name, all]) =>
    all.flatMap(({ voidBecause }, round) =>
      voidBecause.map((reason) => `void: ${name}, ${kind} at ${connections}, round ${round + 1}: ${reason}`),
    ),
  );
}

function rates(samples: readonly WarmSample[] = []): number[] {
  return samples.map(({ load }) => load.perSecond);
}

function p50s(samples: readonly WarmSample[] = []): number[] {
  return samples.map(({ load }) => load.latencyUs.p50);
}

function differences(values: readonly number[], base: readonly number[]): number[] {
  return values.map((value, round) => value - (base[round] ?? Number.NaN));
}

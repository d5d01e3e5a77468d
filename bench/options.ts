/** The command line of the benchmark. */
import { parseArgs } from "node:util";

export const partNames = [
  "warm",
  "cold",
  "density",
  "deploy",
  "faults",
  "keyspace",
  "runtimes",
  "neighbours",
  "queue",
  "idle",
  "state",
] as const;
export type PartName = (typeof partNames)[number];

export interface BenchOptions {
  readonly parts: readonly PartName[];
  readonly rounds: number;
  /** Length of one load. */
  readonly seconds: number;
  /** File for the results as JSON; null: none. */
  readonly jsonFile: string | null;
  /** Names of the contestants of `warm`; null: all. */
  readonly contestants: readonly string[] | null;
  /** Apps of `cold` and `density`; smaller ones only to try the benchmark itself. */
  readonly coldApps: number;
  readonly densityApps: number;
  /** Messages that wait in `queue`'s measurement of a backlog; fewer only to try it. */
  readonly queueBacklog: number;
  /** Of the server in `cold` and `neighbours`. */
  readonly sandbox: "process" | "oci";
}

export const usage = `npm run bench [-- PART... [options]]

Parts: ${partNames.join(", ")}; all of them when none is named.

  --rounds N            rounds of each measurement (5)
  --seconds N           length of one load (3)
  --json FILE           write all samples as JSON
  --contestants A,B     only these contestants in warm, these runtimes in runtimes
  --cold-apps N         apps of cold (200)
  --sandbox KIND        process or oci, in cold and neighbours (process)
  --density-apps N      apps of density (10000)
  --queue-backlog N     messages that wait in queue's backlog (1000000)

Examples:
  npm run bench
  npm run bench -- warm --rounds 7 --json bench/results/warm.json
  npm run bench -- warm --contestants node:http,aloft
  npm run bench -- cold neighbours --sandbox oci
`;

/** null when help is asked for. Throws on anything that is not an option. */
export function parseOptions(args: readonly string[]): BenchOptions | null {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      rounds: { type: "string", default: "5" },
      seconds: { type: "string", default: "3" },
      json: { type: "string" },
      contestants: { type: "string" },
      "cold-apps": { type: "string", default: "200" },
      sandbox: { type: "string", default: "process" },
      "density-apps": { type: "string", default: "10000" },
      "queue-backlog": { type: "string", default: "1000000" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return null;
  for (const name of positionals) {
    if (!isPart(name)) throw new Error(`"${name}" is not a part of the benchmark; parts are ${partNames.join(", ")}`);
  }
  return {
    parts: positionals.length === 0 ? partNames : positionals.filter(isPart),
    rounds: wholeNumber("rounds", values.rounds, 1, 100),
    seconds: wholeNumber("seconds", values.seconds, 1, 60),
    jsonFile: values.json ?? null,
    contestants: values.contestants?.split(",") ?? null,
    coldApps: wholeNumber("cold-apps", values["cold-apps"], 20, 1000),
    sandbox: sandboxOf(values.sandbox),
    queueBacklog: wholeNumber("queue-backlog", values["queue-backlog"], 10_000, 10_000_000),
    densityApps: wholeNumber("density-apps", values["density-apps"], 10, 20_000),
  };
}

function isPart(name: string): name is PartName {
  return partNames.some((part) => part === name);
}

function sandboxOf(text: string): "process" | "oci" {
  if (text === "process" || text === "oci") return text;
  throw new Error(`--sandbox ${text}: process or oci is wanted`);
}

function wholeNumber(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new Error(`--${name} ${text}: a whole number from ${min} to ${max} is wanted`);
}

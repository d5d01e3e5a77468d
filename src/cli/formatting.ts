/** How values of the API are written for reading. */
import { formatTrigger } from "../contract/route.ts";
import type { DeployedJson, FunctionJson } from "../contract/api.ts";
import type { InvocationRecord, LogLine } from "../contract/observing.ts";
import { productionAlias } from "../contract/names.ts";
import { formatMicros } from "../lib/durations.ts";
import { harmless } from "./terminal.ts";
import type { Colour, Paint, Terminal } from "./terminal.ts";

/** Enough of a deployment's id to tell it from an app's others; the server takes any unique beginning. */
export function shortId(id: string): string {
  return id.slice(0, 10);
}

/** "2030-01-31 12:00:05", in local time. */
export function formatMoment(moment: string | number): string {
  const date = new Date(moment);
  const two = (value: number) => String(value).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${formatTime(date.getTime())}`;
}

/** "12:00:05", in local time. */
export function formatTime(ms: number): string {
  return new Date(ms).toTimeString().slice(0, 8);
}

/** "GET /links/:id", "any method /*", or "-" for what only calls reach. */
export function triggersText({ triggers }: Pick<FunctionJson, "triggers">): string {
  const texts = triggers.map((trigger) =>
    trigger.kind === "http" && trigger.method === "*" ? `ANY ${trigger.path}` : formatTrigger(trigger),
  );
  return texts.length === 0 ? "-" : texts.join(", ");
}

export function printFunctions(functions: readonly FunctionJson[], terminal: Terminal): void {
  const rows = functions.map((each) => [each.name, each.style, triggersText(each), each.urls[0] ?? "-"]);
  terminal.printTable(["function", "style", "trigger", "url"], rows);
}

export function deployedText(deployed: DeployedJson, paint: Paint): string {
  const name = `${deployed.app}${deployed.alias === productionAlias ? "" : ` (${deployed.alias})`}`;
  return `${paint("bold", name)} ${shortId(deployed.deployment)}, number ${deployed.number}`;
}

const levelColours: Readonly<Record<LogLine["level"], Colour>> = {
  debug: "dim",
  info: "cyan",
  warn: "yellow",
  error: "red",
};

/** One line of a log; further lines of its message are indented below. */
export function logText(line: LogLine, paint: Paint): string {
  const where = line.function === "" ? line.app : `${line.app}/${line.function}`;
  const message = harmless(line.message).trimEnd().replaceAll("\n", "\n    ");
  const level = paint(levelColours[line.level], line.level.padEnd(5));
  return `${paint("dim", formatTime(line.atMs))} ${level} ${paint("dim", where)} ${message}`;
}

/** One invocation: time, status, subject, how long, cold, where. */
export function recordText(record: InvocationRecord, paint: Paint): string {
  const colour: Colour = record.status >= 500 ? "red" : record.status >= 400 ? "yellow" : "green";
  const subject = record.subject === "" ? record.trigger : harmless(record.subject);
  const took = formatMicros(record.waitUs + record.handlerUs);
  const cold = record.coldUs > 0 ? paint("cyan", ` cold ${formatMicros(record.coldUs)}`) : "";
  const where = [record.app, record.function].filter((part) => part !== "").join("/");
  const failure = record.errorCode === "" ? "" : paint("red", ` ${record.errorCode}`);
  return `${paint("dim", formatTime(record.startedAtMs))} ${paint(colour, String(record.status))} ${subject} ${took}${cold} ${paint("dim", where)}${failure}`;
}

/** `aloft status` */
import type { StatusJson } from "../contract/api.ts";
import { productionAlias } from "../contract/names.ts";
import { formatBytes } from "../lib/sizes.ts";
import type { Context } from "./command.ts";
import { formatMoment, shortId } from "./formatting.ts";
import { harmless } from "./terminal.ts";
import type { Terminal } from "./terminal.ts";

export async function run({ terminal, json, client }: Context): Promise<number> {
  const status = await (await client()).status();
  if (json) terminal.printJson(status);
  else printStatus(status, terminal);
  return 0;
}

function printStatus(status: StatusJson, terminal: Terminal): void {
  const { observe } = status;
  const lost = observe.recordsDropped + observe.logsDropped;
  const facts: [string, string][] = [
    ["server", `aloft ${status.version}, node ${status.node}, up since ${formatMoment(status.startedAt)}`],
    ["answers", `${status.http} (apps at APP.${status.baseDomain}), control API ${status.admin}`],
    ["sandbox", `${status.sandbox}, ${status.zygotes} ready`],
    ["apps", `${status.apps}, default ${status.defaultApp ?? "none"}`],
    [
      "memory",
      `instances ${formatBytes(status.memoryBytes)} of ${formatBytes(status.memoryBudgetBytes)}, server ${formatBytes(status.rssBytes)}`,
    ],
    ["records", `${observe.recordsAccepted} records, ${observe.logsAccepted} log lines, ${lost} lost`],
  ];
  for (const [name, value] of facts) terminal.print(`${terminal.paint("dim", name.padEnd(8))} ${value}`);
  if (status.groups.length === 0) return;

  terminal.print("");
  const rows = status.groups.map((group) => [
    `${group.app}${group.alias === productionAlias ? "" : `@${group.alias}`}`,
    group.group,
    group.runtime,
    shortId(group.deploymentId),
    `${group.ready}/${group.instances}`,
    String(group.inFlight),
    String(group.waiting),
    formatBytes(group.memoryBytes),
    harmless(group.lastError).split("\n")[0] ?? "",
  ]);
  terminal.printTable(
    ["app", "group", "runtime", "deployment", "ready", "in flight", "waiting", "memory", "last error"],
    rows,
  );
}

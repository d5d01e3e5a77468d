/** `aloft streams list|show|append|read|purge|delete|seek|pause|resume|parked|redrive` */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { text as readText } from "node:stream/consumers";
import { AloftError } from "../contract/errors.ts";
import type { RedriveParkedJson, StreamJson, StreamRecordJson } from "../contract/triggering.ts";
import { formatDuration } from "../lib/durations.ts";
import { nearestWord } from "../lib/edit-distance.ts";
import { usageError } from "./arguments.ts";
import type { ControlClient } from "./client.ts";
import type { Context } from "./command.ts";
import { withSuggestions } from "./suggestions.ts";
import { isSure } from "./sure.ts";
import { aliasOf, appOf, limitOf, withoutUndefined } from "./targets.ts";

/** What each takes after the name of the app. */
const actions: Readonly<Record<string, number>> = {
  list: 0,
  show: 1,
  append: 1,
  read: 1,
  purge: 1,
  delete: 1,
  seek: 2,
  pause: 2,
  resume: 2,
  parked: 2,
  redrive: 2,
};

interface Target {
  readonly app: string;
  readonly stream: string;
  readonly consumer: string;
  readonly query: { readonly alias: string };
}

export async function run(context: Context): Promise<number> {
  const [action = "", appWord, ...names] = context.words;
  const wanted = actions[action];
  if (wanted === undefined) {
    const meant = nearestWord(action, Object.keys(actions));
    throw usageError(
      `aloft streams has no action "${action}"`,
      "streams",
      meant === null ? null : `aloft streams ${meant}`,
    );
  }
  const app = appOf(appWord);
  if (names.length !== wanted) {
    const what = ["only the name of an app", "an app and a stream", "an app, a stream and a consumer"][wanted];
    throw usageError(`aloft streams ${action} takes ${what}`, "streams");
  }
  const target: Target = {
    app,
    stream: names[0] ?? "",
    consumer: names[1] ?? "",
    query: { alias: aliasOf(context.flags) },
  };
  const client = await context.client();
  await withSuggestions(client, { app }, () => act(action, client, target, context));
  return 0;
}

async function act(action: string, client: ControlClient, target: Target, context: Context): Promise<void> {
  const { app, stream, consumer, query } = target;
  const { terminal, json, flags } = context;
  const base = `/v1/apps/${app}/streams`;
  const path = `${base}/${encodeURIComponent(stream)}`;
  const ofConsumer = `${path}/consumers/${encodeURIComponent(consumer)}`;
  switch (action) {
    case "list": {
      const { streams } = await client.ask<{ streams: StreamJson[] }>("GET", base, { query });
      if (json) terminal.printJson(streams);
      else
        terminal.printTable(["stream", "partitions", "records", "bytes", "retention", "consumers"], streams.map(rowOf));
      return;
    }
    case "show": {
      const shown = await client.ask<StreamJson>("GET", path, { query });
      if (json) terminal.printJson(shown);
      else show(shown, context);
      return;
    }
    case "append": {
      const records = await recordsOf(context);
      const answer = await client.ask<{ appended: number }>("POST", `${path}/records`, { query, json: { records } });
      if (json) terminal.printJson(answer);
      else terminal.print(`appended ${answer.appended} to ${stream}`);
      return;
    }
    case "read": {
      const read = {
        ...query,
        partition: flags.text("partition"),
        from: flags.text("from"),
        limit: limitOf(flags, 500),
      };
      const { records } = await client.ask<{ records: StreamRecordJson[] }>("GET", `${path}/records`, { query: read });
      if (json) terminal.printJson(records);
      else
        for (const record of records)
          terminal.print(`${record.offset}  ${record.key ?? "-"}  ${JSON.stringify(record.value)}`);
      return;
    }
    case "purge": {
      if (
        !(await isSure(context, `aloft streams purge ${app} ${stream}`, `delete all records of ${stream} of ${app}?`))
      )
        return;
      const answer = await client.ask<{ purged: number }>("POST", `${path}/purge`, { query });
      if (json) terminal.printJson(answer);
      else terminal.print(`deleted ${answer.purged} records of ${stream}`);
      return;
    }
    case "delete": {
      if (!(await isSure(context, `aloft streams delete ${app} ${stream}`, `delete the stream ${stream} of ${app}?`)))
        return;
      const answer = await client.ask<{ deleted: number }>("DELETE", path, { query });
      if (json) terminal.printJson(answer);
      else terminal.print(`deleted ${stream} with ${answer.deleted} records`);
      return;
    }
    case "redrive": {
      const dryRun = flags.has("dry-run");
      const filter = withoutUndefined({
        error: flags.text("error"),
        key: flags.text("key"),
        offset: flags.text("offset"),
      });
      const answer = await client.ask<RedriveParkedJson>("POST", `${ofConsumer}/redrive`, {
        query,
        json: { ...filter, dryRun },
      });
      if (json) terminal.printJson(answer);
      else {
        const what = `${answer.records} records and ${answer.windows} windows`;
        terminal.print(`${dryRun ? "would send" : "sent"} ${what} back to ${consumer}`);
      }
      return;
    }
    case "seek": {
      const from = flags.text("from");
      if (from === undefined) throw usageError("aloft streams seek needs --from", "streams");
      const answer = await client.ask("POST", `${ofConsumer}/seek`, { query, json: { from } });
      if (json) terminal.printJson(answer);
      else terminal.print(`${consumer} goes on from ${from}`);
      return;
    }
    case "parked": {
      const { parked } = await client.ask<{ parked: object[] }>("GET", `${ofConsumer}/parked`, { query });
      if (json) terminal.printJson(parked);
      else for (const one of parked) terminal.print(JSON.stringify(one));
      return;
    }
    default: {
      const answer = await client.ask("POST", `${ofConsumer}/${action}`, { query });
      if (json) terminal.printJson(answer);
      else terminal.print(`${consumer} is ${action === "pause" ? "paused" : "resumed"}`);
    }
  }
}

function rowOf({ name, partitions, appended, removed, bytes, retentionMs, consumers }: StreamJson): string[] {
  const names = consumers.map((one) => `${one.name} (${one.lag} behind)`).join(", ");
  return [
    name,
    String(partitions),
    String(appended - removed),
    String(bytes),
    formatDuration(retentionMs),
    names || "-",
  ];
}

function show(stream: StreamJson, { terminal }: Context): void {
  terminal.printTable(["stream", "partitions", "records", "bytes", "retention", "consumers"], [rowOf(stream)]);
  if (stream.consumers.length === 0) return;
  terminal.print("");
  terminal.printTable(
    ["consumer", "state", "behind", "done", "lanes", "parked", "redriven", "windows", "late", "watermark"],
    stream.consumers.map((one) => [
      one.name,
      one.state,
      String(one.lag),
      String(one.done),
      String(one.lanes),
      String(one.parked),
      String(one.redriven),
      String(one.windows),
      String(one.late),
      one.watermark ?? "-",
    ]),
  );
}

/** One record, or with --lines one for each line of the input. */
async function recordsOf({ flags, folder, terminal }: Context): Promise<object[]> {
  const data = flags.text("data") ?? "-";
  const key = flags.text("key");
  const text =
    data === "-"
      ? await readText(terminal.stdin)
      : data.startsWith("@")
        ? await readFile(resolve(folder, data.slice(1)), "utf8")
        : data;
  const texts = flags.has("lines") ? text.split("\n").filter((line) => line.trim() !== "") : [text];
  return texts.map((one) => ({ value: valueOf(one), ...(key === undefined ? {} : { key }) }));
}

function valueOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new AloftError("USAGE", `the record is not JSON: ${text.slice(0, 80)}`, {
      hint: "quote text as JSON: '\"text\"'",
    });
  }
}

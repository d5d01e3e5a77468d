/** `aloft queues VERB APP [QUEUE]` */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { text as readText } from "node:stream/consumers";
import { AloftError } from "../contract/errors.ts";
import type { MessageJson, QueueJson } from "../contract/managing-queues.ts";
import { nearestWord } from "../lib/edit-distance.ts";
import { parseDurationMs } from "../lib/durations.ts";
import { usageError } from "./arguments.ts";
import type { ControlClient } from "./client.ts";
import type { Context } from "./command.ts";
import { formatMoment } from "./formatting.ts";
import { isSure } from "./sure.ts";
import { withSuggestions } from "./suggestions.ts";
import { aliasOf, appOf, limitOf, withoutUndefined } from "./targets.ts";
import { harmless } from "./terminal.ts";

const verbs = ["list", "show", "peek", "pause", "resume", "purge", "redrive", "send"] as const;
type Verb = (typeof verbs)[number];

export async function run(context: Context): Promise<number> {
  const verb = verbOf(context.words[0] ?? "");
  const app = appOf(context.words[1]);
  const alias = aliasOf(context.flags);
  const queue = context.words[2];
  const client = await context.client();
  await withSuggestions(client, { app }, async () => {
    if (verb === "list") {
      if (queue !== undefined) throw usageError("aloft queues list takes only the name of an app", "queues");
      await list(context, client, app, alias);
      return;
    }
    if (queue === undefined) throw usageError(`aloft queues ${verb} needs the name of a queue`, "queues");
    await actions[verb](context, client, { app, alias, queue });
  });
  return 0;
}

interface Place {
  readonly app: string;
  readonly alias: string;
  readonly queue: string;
}

type Action = (context: Context, client: ControlClient, place: Place) => Promise<void>;

const actions: Readonly<Record<Exclude<Verb, "list">, Action>> = {
  async show({ json, terminal }, client, place) {
    const shown = await client.getQueue(place);
    if (json) terminal.printJson(shown);
    else for (const [name, value] of Object.entries(shown)) terminal.print(`${name.padEnd(13)} ${value ?? "-"}`);
  },

  async peek({ flags, json, terminal }, client, place) {
    const messages = await client.peekQueue(place, limitOf(flags, 100) ?? 10);
    if (json) terminal.printJson(messages);
    else for (const message of messages) terminal.print(messageText(message));
  },

  async pause({ json, terminal }, client, place) {
    const shown = await client.postQueue<QueueJson>(place, "pause");
    if (json) terminal.printJson(shown);
    else terminal.print(`paused ${place.queue}: ${shown.messages} messages wait`);
  },

  async resume({ json, terminal }, client, place) {
    const shown = await client.postQueue<QueueJson>(place, "resume");
    if (json) terminal.printJson(shown);
    else terminal.print(`resumed ${place.queue}: ${shown.messages} messages wait`);
  },

  async purge(context, client, place) {
    const { json, terminal } = context;
    const command = `aloft queues purge ${place.app} ${place.queue}`;
    if (!(await isSure(context, command, `delete all messages of ${place.queue} of ${place.app}?`))) return;
    const { purged } = await client.postQueue<{ purged: number }>(place, "purge");
    if (json) terminal.printJson({ purged });
    else terminal.print(`deleted ${purged} messages of ${place.queue}`);
  },

  async redrive({ flags, json, terminal }, client, place) {
    const dryRun = flags.has("dry-run");
    const request = withoutUndefined({ error: flags.text("error"), id: flags.text("id"), dryRun });
    const { messages, ids } = await client.postQueue<{ messages: number; ids: string[] }>(place, "redrive", request);
    if (json) terminal.printJson({ messages, ids, dryRun });
    else terminal.print(`${dryRun ? "would send" : "sent"} ${messages} dead letters to ${place.queue} again`);
  },

  async send(context, client, place) {
    const { flags, json, terminal } = context;
    const message = withoutUndefined({
      body: await bodyOf(context),
      delayMs: durationOf(flags.text("delay")),
      dedupeId: flags.text("dedupe-id"),
      group: flags.text("group"),
      priority: numberOf(flags.text("priority")),
    });
    const { messages } = await client.postQueue<{ messages: { id: string; duplicate: boolean }[] }>(
      place,
      "messages",
      message,
    );
    const [sent] = messages;
    if (json) terminal.printJson(sent);
    else terminal.print(`${sent?.id ?? ""}${sent?.duplicate === true ? " (sent before with this id)" : ""}`);
  },
};

function verbOf(word: string): Verb {
  const verb = verbs.find((one) => one === word);
  if (verb !== undefined) return verb;
  const meant = nearestWord(word, verbs);
  throw usageError(`aloft queues has no action "${word}"`, "queues", meant === null ? null : `aloft queues ${meant}`);
}

async function list({ json, terminal }: Context, client: ControlClient, app: string, alias: string): Promise<void> {
  const queues = await client.listQueues(app, alias);
  if (json) {
    terminal.printJson(queues);
    return;
  }
  terminal.printTable(
    ["queue", "consumer", "messages", "delayed", "oldest", "dead"],
    queues.map((one) => [
      one.paused ? `${one.name} (paused)` : one.name,
      one.consumer ?? "-",
      String(one.messages),
      String(one.delayed),
      one.oldestSentAt === null ? "-" : formatMoment(one.oldestSentAt),
      String(one.deadLetters),
    ]),
  );
}

function messageText({ id, body, sentAt, attempts, dueAt, dead }: MessageJson): string {
  const due = dueAt === undefined ? "" : ` due ${formatMoment(dueAt)}`;
  const tried = attempts === 0 ? "" : ` failed ${attempts} times`;
  const why =
    dead === undefined ? "" : ` dead after ${dead.attempts}: ${harmless(`${dead.error.type}: ${dead.error.message}`)}`;
  return `${id} ${formatMoment(sentAt)}${due}${tried}${why} ${harmless(JSON.stringify(body))}`;
}

/** JSON; a text that is none is a mistake worth telling. */
async function bodyOf({ flags, terminal, folder }: Context): Promise<unknown> {
  const data = flags.text("data");
  if (data === undefined) throw usageError("aloft queues send needs --data", "queues");
  const text = data === "-" ? await readText(terminal.stdin) : await dataText(data, folder);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new AloftError("USAGE", `the message is not JSON: ${(error as Error).message}`, {
      hint: `a text is written '"hello"'`,
    });
  }
}

async function dataText(data: string, folder: string): Promise<string> {
  if (!data.startsWith("@")) return data;
  const file = resolve(folder, data.slice(1));
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new AloftError("USAGE", `${file} cannot be read: ${(error as NodeJS.ErrnoException).code}`, { cause: error });
  }
}

function durationOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const ms = parseDurationMs(text);
  if (ms !== null) return ms;
  throw new AloftError("USAGE", `--delay "${text}" is not a duration such as 10m`);
}

function numberOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d$/.test(text)) return Number(text);
  throw new AloftError("USAGE", `--priority "${text}" is not a number from 0 to 9`);
}

/** The commands: what each takes and does, from which arguments are read and help and docs/commands.md are made. */
import { settingsTable } from "../config.ts";
import type { SettingName } from "../config.ts";
import type { FlagSpec } from "./arguments.ts";
import type { Command } from "./command.ts";

const outputFlags: readonly FlagSpec[] = [
  { name: "json", about: "print one JSON value, or one a line where the command streams" },
  { name: "help", short: "h", about: "show this" },
];

const serverFlags: readonly FlagSpec[] = [
  { name: "server", placeholder: "URL", about: "control API to speak to (ALOFT_SERVER)" },
  { name: "token", placeholder: "TOKEN", about: "its token (ALOFT_TOKEN)" },
  ...outputFlags,
];

const alias: FlagSpec = { name: "alias", placeholder: "NAME", about: "alias to use (production)" };
const image: FlagSpec = {
  name: "image",
  placeholder: "FILE|DIR",
  about: "deploy a container image: what `docker save` writes, or an OCI layout",
};
const since: FlagSpec = { name: "since", placeholder: "10m", about: "only what is younger, or after a date" };
const until: FlagSpec = { name: "until", placeholder: "5m", about: "only what is older, or before a date" };
const follow: FlagSpec = { name: "follow", short: "f", about: "go on with what comes, until Ctrl-C" };

/** Settings that `dev` decides itself: it keeps its data with the app and stays on loopback. */
const devSettings = [
  "port",
  "adminPort",
  "sandbox",
  "defaultApp",
  "zygotes",
  "logFormat",
] as const satisfies SettingName[];

/** Flags of settings, as `serve` and `dev` take them. */
function settingFlags(names: readonly SettingName[]): readonly FlagSpec[] {
  const config: FlagSpec = { name: "config", placeholder: "FILE", about: "settings file (ALOFT_CONFIG)" };
  const flags = names.flatMap((name) => {
    const { flag, kind, standard, about } = settingsTable[name];
    if (flag === null) return [];
    const shown = kind.placeholder === "" || standard === "" ? about : `${about} (${standard})`;
    return [{ name: flag, about: shown, ...(kind.placeholder === "" ? {} : { placeholder: kind.placeholder }) }];
  });
  return [...flags, config];
}

const table = {
  init: {
    usage: "[dir] [--template NAME]",
    words: { min: 0, max: 1 },
    summary: "write a new app that runs",
    about: "Templates: http (the SDK's routes), fetch, hono, lambda. Files that exist are never overwritten.",
    flags: [{ name: "template", placeholder: "NAME", about: "http, fetch, hono or lambda (http)" }, ...outputFlags],
    examples: [
      { line: "aloft init shop && aloft dev shop", about: "a new app, running" },
      { line: "aloft init legacy --template lambda", about: "an app with an AWS Lambda handler" },
    ],
  },
  dev: {
    usage: "[dir|file] [--port 8787]",
    words: { min: 0, max: 1 },
    summary: "run here, reload on save, show requests and logs",
    about:
      "Takes the folder of an app, a single file with `export default { fetch }`, or a folder of app folders,\n" +
      "each of which answers at APP.localhost:8787 and to the header `aloft-app: APP`. Reads `.env` of each app.\n" +
      "A build that fails is shown; the last good one keeps serving.",
    flags: [...settingFlags(devSettings), ...outputFlags],
    examples: [
      { line: "aloft dev", about: "the app in this folder" },
      { line: "aloft dev worker.ts --port 3000", about: "a single file" },
      { line: "aloft dev examples", about: "every app in a folder" },
    ],
  },
  serve: {
    usage: "[--data DIR] [--port 8787] [--admin-port 8788] [--sandbox auto|oci|process]",
    words: { min: 0, max: 0 },
    summary: "run a server",
    about:
      "Prints one line when it is ready. The control API's token is taken from ALOFT_ADMIN_TOKEN at the first start, or\n" +
      "made and printed once; the server keeps only its hash. SIGTERM and Ctrl-C finish what is in flight, then end;\n" +
      "a second one ends at once. docs/settings.md has all settings.",
    flags: [...settingFlags(Object.keys(settingsTable) as SettingName[]), ...outputFlags],
    examples: [
      { line: "aloft serve", about: "on this machine, data in ~/.local/share/aloft" },
      { line: "aloft serve --data /srv/aloft --host 0.0.0.0 --base-domain example.com", about: "for others" },
      { line: "aloft serve --port 0 --admin-port 0 --json", about: "on free ports, told in JSON" },
    ],
  },
  deploy: {
    usage: "[dir] [--image FILE|DIR] [--alias NAME]",
    words: { min: 0, max: 1 },
    summary: "bundle an app, upload what is new, make it live",
    about:
      "The new deployment is imported before it goes live; one that fails leaves everything as it was.\n" +
      "Exits 1 with DEPLOY_SUPERSEDED when a later deploy went live first.",
    flags: [image, alias, ...serverFlags],
    examples: [
      { line: "aloft deploy", about: "the app in this folder" },
      { line: "aloft deploy --image shop.tar.gz", about: "the image that `docker save` wrote there" },
      { line: "aloft deploy shop --alias preview-x", about: "under another alias, at preview-x--shop.BASE" },
    ],
  },
  rollback: {
    usage: "APP [DEPLOYMENT] [--alias NAME]",
    words: { min: 1, max: 2 },
    summary: "make an earlier deployment live again, at once",
    flags: [alias, ...serverFlags],
    examples: [
      { line: "aloft rollback shop", about: "the one before" },
      { line: "aloft rollback shop 3f2a1c", about: "a certain one, by the beginning of its id" },
    ],
  },
  apps: {
    usage: "",
    words: { min: 0, max: 0 },
    summary: "list the apps",
    flags: serverFlags,
    examples: [{ line: "aloft apps --json", about: "for a program" }],
  },
  functions: {
    usage: "APP [--alias NAME]",
    words: { min: 1, max: 1 },
    summary: "list the functions of an app and where they answer",
    flags: [alias, ...serverFlags],
    examples: [{ line: "aloft functions shop", about: "functions, triggers, addresses" }],
  },
  deployments: {
    usage: "APP",
    words: { min: 1, max: 1 },
    summary: "list the deployments of an app",
    flags: serverFlags,
    examples: [{ line: "aloft deployments shop", about: "what can be rolled back to" }],
  },
  status: {
    usage: "",
    words: { min: 0, max: 0 },
    summary: "show what runs on the server",
    flags: serverFlags,
    examples: [{ line: "aloft status", about: "instances, memory, records" }],
  },
  delete: {
    usage: "APP [--yes]",
    words: { min: 1, max: 1 },
    summary: "delete an app with all its deployments and variables",
    about: "Asks on a terminal; elsewhere --yes is required.",
    flags: [{ name: "yes", short: "y", about: "do not ask" }, ...serverFlags],
    examples: [{ line: "aloft delete shop --yes", about: "without asking" }],
  },
  invoke: {
    usage: "APP/FUNCTION [--data JSON|@FILE|-] [--async]",
    words: { min: 1, max: 1 },
    summary: "call a function and print what it answers",
    about: "The answer goes to stdout; duration, cold or warm and the invocation's id to stderr.",
    flags: [
      { name: "data", short: "d", placeholder: "JSON|@FILE|-", about: "input: JSON, a file's content, or stdin" },
      { name: "async", about: "keep the call durably, print its id and go on" },
      { name: "wait", about: "with --async: until it has ended, and print its result" },
      { name: "delay", placeholder: "10m", about: "with --async: not before so long" },
      { name: "max-age", placeholder: "6h", about: "with --async: not tried any more when it is older" },
      { name: "retry", placeholder: "POLICY", about: "with --async: lambda, none or the number of tries in all" },
      { name: "on-success", placeholder: "KIND:NAME", about: "with --async: tell queue:NAME or function:NAME" },
      { name: "on-failure", placeholder: "KIND:NAME", about: "with --async: the same for a call that has failed" },
      {
        name: "idempotency-key",
        placeholder: "KEY",
        about: "with --async: a key used within 24 h makes no second call",
      },
      alias,
      ...serverFlags,
    ],
    examples: [
      { line: `aloft invoke shop/report --data '{"month":"2026-10"}' --async`, about: "later, with retries" },
      { line: `aloft invoke shop/price --data '{"sku":"a1"}'`, about: "with JSON" },
      { line: "aloft invoke shop/resize --data @photo.jpg > small.jpg", about: "with a file" },
    ],
  },
  logs: {
    usage: "APP[/FUNCTION] [--follow] [--since 10m]",
    words: { min: 1, max: 1 },
    summary: "show what functions wrote",
    flags: [
      follow,
      since,
      until,
      { name: "level", placeholder: "LEVEL", about: "debug, info, warn or error, and what is above" },
      { name: "invocation", placeholder: "ID", about: "only one invocation's" },
      { name: "limit", placeholder: "N", about: "the newest so many (1000)" },
      ...serverFlags,
    ],
    examples: [
      { line: "aloft logs shop --follow", about: "as they are written" },
      { line: "aloft logs shop/price --since 1h --level warn", about: "one function's warnings and errors" },
    ],
  },
  calls: {
    usage: "list APP[/FUNCTION] | show APP ID | cancel APP ID",
    words: { min: 2, max: 3 },
    summary: "list, show and cancel asynchronous calls",
    about: "What has become of a call is kept for 24 hours after its end. show exits 1 when it has failed.",
    flags: [
      { name: "status", placeholder: "STATUS", about: "list: pending, succeeded, failed or cancelled" },
      { name: "limit", placeholder: "N", about: "list: the newest so many (100)" },
      { name: "before", placeholder: "ID", about: "list: made before this one" },
      { name: "wait", about: "show: once it has ended" },
      alias,
      ...serverFlags,
    ],
    examples: [
      { line: "aloft calls list shop --status failed", about: "what failed, newest first" },
      { line: "aloft calls show shop 018f3c... --wait", about: "its result, as soon as there is one" },
    ],
  },
  invocations: {
    usage: "APP[/FUNCTION] [--follow] | --id ID",
    words: { min: 0, max: 1 },
    summary: "show records of invocations",
    flags: [
      follow,
      since,
      until,
      { name: "outcome", placeholder: "OUTCOME", about: "ok, error, timeout, cancelled or rejected" },
      { name: "limit", placeholder: "N", about: "the newest so many (100)" },
      { name: "id", placeholder: "ID", about: "one invocation, in full" },
      ...serverFlags,
    ],
    examples: [
      { line: "aloft invocations shop --outcome error --since 1d", about: "what failed today" },
      { line: "aloft invocations shop --follow --json", about: "one JSON value an invocation" },
    ],
  },
  queues: {
    usage: "list|show|peek|pause|resume|purge|redrive|send APP [QUEUE]",
    words: { min: 2, max: 3 },
    summary: "see and mend an app's queues",
    about:
      "list: all queues; show: one; peek: its next messages, without taking them; pause and resume: begin nothing, go on;\n" +
      "purge: delete all its messages; redrive: send its dead letters to it again, all or those that the flags name;\n" +
      "send: put a message into it.",
    flags: [
      { name: "data", short: "d", placeholder: "JSON|@FILE|-", about: "send: the message, as JSON" },
      { name: "delay", placeholder: "10m", about: "send: not before so long from now" },
      { name: "group", placeholder: "NAME", about: "send: in order with others of this group" },
      { name: "priority", placeholder: "N", about: "send: 0 to 9, the higher the sooner" },
      { name: "dedupe-id", placeholder: "ID", about: "send: not again within 24 hours under this id" },
      { name: "error", placeholder: "TEXT", about: "redrive: only those whose error has this in it" },
      { name: "id", placeholder: "ID", about: "redrive: only this message" },
      { name: "dry-run", about: "redrive: only say how many" },
      { name: "limit", placeholder: "N", about: "peek: so many messages (10)" },
      { name: "yes", short: "y", about: "purge: do not ask" },
      alias,
      ...serverFlags,
    ],
    examples: [
      { line: "aloft queues list shop", about: "how much waits, and since when" },
      { line: `aloft queues send shop orders --data '{"sku":"a1"}' --delay 10m`, about: "a message for later" },
      { line: "aloft queues redrive shop orders --error Timeout --dry-run", about: "how many failed with a timeout" },
    ],
  },
  backup: {
    usage: "FILE|-",
    words: { min: 1, max: 1 },
    summary: "save everything a server keeps, while it runs",
    about:
      "One tar archive with the keyspace and all content that it names, as of one moment after the command was given.\n" +
      "Records and logs of invocations are not in it. Fails, and leaves no file, unless the archive is whole.\n" +
      "It holds the values of variables: keep it as safe as the data folder.",
    flags: serverFlags,
    examples: [
      { line: "aloft backup aloft-$(date +%F).tar", about: "into a file" },
      { line: "aloft backup - | zstd | ssh vault 'cat > aloft.tar.zst'", about: "to another machine, compressed" },
    ],
  },
  restore: {
    usage: "FILE|- [--data DIR]",
    words: { min: 1, max: 1 },
    summary: "make a data folder from a backup",
    about:
      "The folder must be empty or not there yet, and no server may use it. Everything is checked; a damaged archive\n" +
      "leaves nothing. What the new server writes has versions above all that the old one can have given out.",
    flags: [...settingFlags(["dataDir"]), ...outputFlags],
    examples: [
      { line: "aloft restore aloft-2026-11-25.tar --data /srv/aloft-new", about: "then: aloft serve --data ..." },
      { line: "ssh vault 'cat aloft.tar.zst' | zstd -d | aloft restore - --data /srv/aloft", about: "from a pipe" },
    ],
  },
  env: {
    usage: "set|unset|list APP [NAME[=VALUE|=@FILE]...]",
    words: { min: 2, max: 1000 },
    summary: "set, remove and list an app's variables",
    about:
      "A name without a value is asked for, or read from stdin, one line-end at the end removed; so secrets stay out of\n" +
      "the shell's history. A value that begins with @ can only be given that way. Values are never shown again.\n" +
      "A change goes live at once: instances are replaced without failing a request.",
    flags: [alias, ...serverFlags],
    examples: [
      { line: "aloft env set shop CURRENCY=EUR TLS_KEY=@key.pem", about: "a value and a file's content" },
      { line: "aloft env set shop API_KEY < secret.txt", about: "from stdin" },
      { line: "aloft env unset shop CURRENCY", about: "remove one" },
      { line: "aloft env list shop", about: "names, never values" },
    ],
  },
  kv: {
    usage: "list|get|set|delete APP [STORE [KEY [VALUE|@FILE|-]]]",
    words: { min: 2, max: 5 },
    summary: "see and mend an app's keys and values",
    about:
      "Without a store, list shows the stores. A value is JSON where it is JSON, else text; the bytes of a file after @; -\n" +
      "or nothing reads stdin.",
    flags: [
      { name: "prefix", placeholder: "TEXT", about: "only keys that begin with it" },
      { name: "limit", placeholder: "N", about: "list at most so many (100)" },
      { name: "expires", placeholder: "7d", about: "set: gone after this long" },
      alias,
      ...serverFlags,
    ],
    examples: [
      { line: "aloft kv list shop", about: "its stores" },
      { line: "aloft kv list shop stock --prefix tea/", about: "a part of one" },
      { line: "aloft kv set shop stock tea/green 40", about: "a number" },
      { line: "aloft kv get shop stock tea/green --json", about: "with its version" },
    ],
  },
  blobs: {
    usage: "list|get|put|delete|link APP [STORE [KEY [FILE]]]",
    words: { min: 2, max: 5 },
    summary: "see and mend an app's blobs",
    about:
      "Without a store, list shows the stores. get writes to the file, or to the output where it is redirected.\n" +
      "link prints an address with which anyone may get the blob, or with --upload put it, until it expires.",
    flags: [
      { name: "prefix", placeholder: "TEXT", about: "only keys that begin with it" },
      { name: "limit", placeholder: "N", about: "list at most so many (100)" },
      { name: "type", placeholder: "TYPE", about: "put: its content type; link --upload: what it must be" },
      { name: "upload", about: "link: for putting the blob" },
      { name: "expires", placeholder: "TIME", about: "link: how long it is good (1h; at most 30d)" },
      { name: "max-size", placeholder: "SIZE", about: "link --upload: bytes that it takes (10GiB)" },
      { name: "once", about: "link --upload: only while there is no such blob" },
      { name: "inline", about: "link: browsers show it, and do not save it" },
      { name: "filename", placeholder: "NAME", about: "link: the name to save it under" },
      { name: "origin", placeholder: "URL", about: "link: where it leads (the app's own address)" },
      alias,
      ...serverFlags,
    ],
    examples: [
      { line: "aloft blobs put album photos a.png ./a.png --type image/png", about: "a file" },
      { line: "aloft blobs get album photos a.png copy.png", about: "into a file" },
      { line: "aloft blobs list album photos", about: "with size and type" },
      { line: "aloft blobs link album photos a.png --expires 7d", about: "to download it, for a week" },
      { line: "aloft blobs link album photos b.png --upload --type 'image/*' --max-size 10MB", about: "to upload it" },
    ],
  },
  cron: {
    usage: "list|run|pause|resume APP [NAME]",
    words: { min: 2, max: 3 },
    summary: "see an app's schedules, run one now, pause it",
    about:
      "A cron has the name of its function. `run` calls it now and waits for its end; its schedule goes on unchanged.\n" +
      "Ticks that come due while it is paused are left out.",
    flags: [alias, ...serverFlags],
    examples: [
      { line: "aloft cron list shop", about: "when each comes next, and how the last one ended" },
      { line: "aloft cron run shop nightly", about: "now" },
      { line: "aloft cron pause shop nightly", about: "until `aloft cron resume shop nightly`" },
    ],
  },
  streams: {
    usage: "list|show|append|read|purge|delete|seek|pause|resume|parked|redrive APP [STREAM [CONSUMER]]",
    words: { min: 2, max: 4 },
    summary: "see an app's streams and who reads them, append, read, replay, mend",
    about:
      "A consumer has the name of its function. `seek` has it go on from --from, whatever it has done: that is a replay.\n" +
      "`parked` shows the records and windows that it has given up, with their errors; `redrive` sends them back to it, each to be\n" +
      "tried alone. `purge` removes all records and leaves consumers where they are; `delete` is for a stream that nobody consumes.",
    flags: [
      { name: "data", short: "d", placeholder: "JSON|@FILE|-", about: "append: the record as JSON (-)" },
      { name: "lines", about: "append: one record for each line of the input" },
      { name: "key", placeholder: "KEY", about: "append: the records' key; redrive: only what has it" },
      { name: "error", placeholder: "TEXT", about: "redrive: only what has this in its error" },
      { name: "offset", placeholder: "OFFSET", about: "redrive: only this record" },
      { name: "dry-run", about: "redrive: only say what would be sent back" },
      { name: "yes", short: "y", about: "purge, delete: do not ask" },
      { name: "from", placeholder: "PLACE", about: "read, seek: earliest, latest, a time or an offset" },
      { name: "partition", placeholder: "N", about: "read: which one (0)" },
      { name: "limit", placeholder: "N", about: "read: so many records (100)" },
      alias,
      ...serverFlags,
    ],
    examples: [
      { line: "aloft streams list plant", about: "streams, what is in them, and how far behind each consumer is" },
      { line: "aloft streams show plant readings", about: "one, with its consumers" },
      { line: `aloft streams append plant readings --key s1 --data '{"celsius":21}'`, about: "one record" },
      { line: "aloft streams read plant readings --from latest --limit 10", about: "the newest ten" },
      {
        line: "aloft streams redrive plant readings alarms --error Timeout --dry-run",
        about: "what would be tried again",
      },
      { line: "aloft streams seek plant readings alarms --from 2026-11-01T00:00:00Z", about: "replay from a time" },
    ],
  },
  version: {
    usage: "",
    words: { min: 0, max: 0 },
    summary: "print the version",
    flags: outputFlags,
    examples: [{ line: "aloft version", about: "of Aloft and of Node" }],
  },
  help: {
    usage: "[COMMAND]",
    words: { min: 0, max: 1 },
    summary: "show the commands, or one in full",
    flags: outputFlags,
    examples: [{ line: "aloft help deploy", about: "the same as aloft deploy --help" }],
  },
} as const satisfies Record<string, Omit<Command, "name">>;

export type CommandName = keyof typeof table;

/** In the order of help. */
export const commands: readonly (Command & { readonly name: CommandName })[] = (
  Object.keys(table) as CommandName[]
).map((name) => ({ name, ...table[name] }));

export function findCommand(word: string): { readonly name: CommandName; readonly command: Command } | null {
  const command = commands.find(({ name }) => name === word);
  return command === undefined ? null : { name: command.name, command };
}

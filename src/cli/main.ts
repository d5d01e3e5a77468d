/**
 * The command line: finds the command, reads its arguments, runs it, prints what went wrong. A command's own file is
 * loaded only when it runs, so that `aloft version` and `aloft deploy` do not pay for the server.
 */
import { readCommandEnvironment } from "../config.ts";
import type { CommandEnvironment } from "../config.ts";
import { asAloftError, problemOf } from "../contract/errors.ts";
import type { AloftError } from "../contract/errors.ts";
import { nearestWord } from "../lib/edit-distance.ts";
import { parseArguments, usageError } from "./arguments.ts";
import type { Flags } from "./arguments.ts";
import type { ControlClient, ControlClientOptions } from "./client.ts";
import type { Command, Run } from "./command.ts";
import { commands, findCommand } from "./commands.ts";
import type { CommandName } from "./commands.ts";
import { findLocalServer } from "./local-server.ts";
import { Terminal, harmless, processStreams } from "./terminal.ts";
import type { Streams } from "./terminal.ts";

const loaders: Readonly<Record<CommandName, () => Promise<{ readonly run: Run }>>> = {
  init: () => import("./init.ts"),
  dev: () => import("./dev.ts"),
  serve: () => import("./serve.ts"),
  deploy: () => import("./deploy.ts"),
  rollback: () => import("./rollback.ts"),
  apps: () => import("./apps.ts"),
  functions: () => import("./functions.ts"),
  deployments: () => import("./deployments.ts"),
  status: () => import("./status.ts"),
  delete: () => import("./delete.ts"),
  invoke: () => import("./invoke.ts"),
  logs: () => import("./logs.ts"),
  invocations: () => import("./invocations.ts"),
  queues: () => import("./queues.ts"),
  calls: () => import("./calls.ts"),
  backup: () => import("./backup.ts"),
  restore: () => import("./restore.ts"),
  env: () => import("./env.ts"),
  kv: () => import("./kv.ts"),
  blobs: () => import("./blobs.ts"),
  cron: () => import("./cron.ts"),
  streams: () => import("./streams.ts"),
  version: () => import("./version.ts"),
  help: () => import("./help.ts"),
};

/** Codes that say the command itself was wrong, whatever the state of any server: exit code 2. */
const usageCodes: ReadonlySet<string> = new Set(["USAGE", "SETTING_INVALID", "NAME_INVALID"]);

const standardServer = "http://127.0.0.1:8788";

/** Runs one command; `argv` is without node and the script. Resolves to the exit code and never rejects. */
export async function main(argv: readonly string[], streams: Streams = processStreams): Promise<number> {
  const environment = readCommandEnvironment();
  const terminal = new Terminal(streams, environment.colour);
  // Looked for before the arguments are read, so that a wrong flag, too, is reported as it was asked for.
  const json = argv.includes("--json");
  try {
    return await runCommand(argv, terminal, json, environment);
  } catch (thrown) {
    const error = asAloftError(thrown);
    if (json) terminal.printJson(problemOf(error));
    else noteError(error, terminal);
    // A bug of ours: what it was is the only thing that helps.
    if (error.code === "INTERNAL" && error.cause instanceof Error) {
      terminal.note(error.cause.stack ?? error.cause.message);
    }
    return usageCodes.has(error.code) ? 2 : 1;
  }
}

async function runCommand(
  argv: readonly string[],
  terminal: Terminal,
  json: boolean,
  environment: CommandEnvironment,
): Promise<number> {
  const { name, command, args } = readCommand(argv);
  const { words, flags } = parseArguments(args, command);
  if (flags.has("help")) {
    const { commandHelp } = await import("./help.ts");
    terminal.print(commandHelp(command));
    return 0;
  }
  const folder = process.cwd();
  const { run } = await loaders[name]();
  let client: ControlClient | null = null;
  const openClient = async (): Promise<ControlClient> => {
    const { ControlClient } = await import("./client.ts");
    return (client ??= new ControlClient(serverFor(flags, environment, folder)));
  };
  try {
    return await run({ words, flags, json, terminal, folder, client: openClient });
  } finally {
    (client as ControlClient | null)?.close();
  }
}

/** The command is the first word; flags may stand before it. */
function readCommand(argv: readonly string[]): { name: CommandName; command: Command; args: readonly string[] } {
  const valued = new Set(["--server", "--token"]);
  let at = 0;
  while (argv[at]?.startsWith("-") === true) at += valued.has(argv[at] ?? "") ? 2 : 1;
  const before = argv.slice(0, at);
  const asked = before.some((flag) => flag === "--version" || flag === "-v") ? "version" : (argv[at] ?? "help");
  const args = [...before.filter((flag) => !["--version", "-v"].includes(flag)), ...argv.slice(at + 1)];

  const command = findCommand(asked);
  if (command !== null) {
    // Bare `aloft --help` is the same as `aloft help`.
    return { ...command, args: asked === "help" ? args.filter((flag) => flag !== "--help" && flag !== "-h") : args };
  }
  const meant = nearestWord(
    asked,
    commands.map(({ name }) => name),
  );
  throw usageError(`aloft has no command "${asked}"`, "", meant === null ? null : `aloft ${meant}`);
}

/** Flags, then the environment, then a `dev` that runs here, then the usual port of this machine. */
function serverFor(flags: Flags, environment: CommandEnvironment, folder: string): ControlClientOptions {
  const named = flags.text("server") ?? environment.server;
  const token = flags.text("token");
  const local = findLocalServer(folder);
  if (named === null && local !== null) return { server: local.admin, token: token ?? local.token };
  const server = named ?? standardServer;
  // dev's token goes to dev alone.
  return { server, token: token ?? environment.token ?? (local?.admin === server ? local.token : null) };
}

function noteError(error: AloftError, terminal: Terminal): void {
  terminal.note(`${terminal.paintNote("red", "error")} ${error.code}: ${harmless(error.message)}`);
  const stack = error.detail?.["stack"];
  if (typeof stack === "string") terminal.note(terminal.paintNote("dim", harmless(stack)));
  if (error.hint !== undefined) terminal.note(`${terminal.paintNote("cyan", "hint")}  ${harmless(error.hint)}`);
}

/**
 * Which functions of an app are no exports of its Node code, and how each is run. Pure: the command line decides by it
 * what to carry, and the server what to describe, both from the same `aloft.json`.
 */
import type { AppConfig, ProgramConfig } from "./app-config.ts";
import type { Program, Runtime } from "./deployment.ts";
import { AloftError } from "./errors.ts";
import { isFunctionName } from "./names.ts";

export interface PlannedProgram {
  /** Name of the function. */
  readonly name: string;
  readonly program: Program;
}

/** What the name of an app is in Python and elsewhere: as the name of a function it would say nothing. */
const namesOfApps: ReadonlySet<string> = new Set(["app", "application"]);

/**
 * `runtime` is that of functions which say nothing else: of `aloft.json`, or found from the folder's files.
 *
 * An app whose runtime is not Node is one function, unless its handlers or commands stand with its functions. The name of
 * that one is its handler's, or `default`.
 */
export function programsOf(config: AppConfig, runtime: Runtime): readonly PlannedProgram[] {
  const planned: PlannedProgram[] = [];
  for (const [name, { program }] of config.functions) {
    if (program === null) continue;
    // A command among the functions of an image is another program of its.
    const isOfImage = runtime === "image" && program.runtime === "command";
    const own = isOfImage ? runtime : (program.runtime ?? runtime);
    if (own === "node") {
      const what = program.command.length > 0 ? "a command" : "a handler";
      throw invalid(`functions.${name} has ${what} and the runtime node, whose functions are its exports`);
    }
    planned.push({ name, program: programOf(program, own, `functions.${name}: `) });
  }
  if (config.layers.length > 0 && runtime === "node" && planned.length === 0) {
    throw invalid(
      '"layers" are found by the runtimes nodejs, python, provided and command; the code of node is bundled with all it imports',
    );
  }
  if (runtime === "node") {
    if (config.program === null) return planned;
    throw invalid('"handler" and "ready" at the top need a "runtime" beside them, such as "python"');
  }
  if (config.program === null && planned.length > 0) return planned;
  // An image speaks HTTP unless it is said to speak the Lambda Runtime API.
  const own = runtime === "image" && config.runtime === "provided" ? config.runtime : runtime;
  const program = programOf(config.program ?? noProgram, own, "");
  const name = nameOf(program);
  if (planned.some((one) => one.name === name)) throw invalid(`the app itself and functions.${name} have one name`);
  return [...planned, { name, program }];
}

/** Whether a function has its code from the entry that `aloft.json` or the folder names. */
export function needsNodeEntry(config: AppConfig, runtime: Runtime): boolean {
  if (runtime !== "node") return config.entry !== null;
  if (config.entry !== null || config.runtime === "node") return true;
  // What a Node program of its own is made of would be taken for the app's entry.
  return ![...config.functions.values()].some(
    ({ program }) => program?.runtime === "nodejs" || program?.runtime === "command",
  );
}

const noProgram: ProgramConfig = { runtime: null, handler: null, command: [], ready: null };

function programOf(config: ProgramConfig, runtime: Program["runtime"], where: string): Program {
  const { handler, command, ready } = config;
  if (runtime === "command" && command.length === 0) {
    throw invalid(`${where}the runtime command needs "command", such as ["node", "server.js"]`);
  }
  if (runtime !== "command" && runtime !== "image") {
    if (command.length > 0) throw invalid(`${where}"command" is of the runtime command, not of ${runtime}`);
    if (ready !== null) throw invalid(`${where}"ready" is of the runtime command, not of ${runtime}`);
  }
  if (runtime === "nodejs" && handler === null) {
    throw invalid(`${where}the runtime nodejs needs "handler", such as "index.handler"`);
  }
  if (handler !== null && (runtime === "command" || runtime === "image")) {
    throw invalid(`${where}"handler" is not of the runtime ${runtime}`);
  }
  return { runtime, handler: handler ?? "", command, ready };
}

/** `app.resize` -> `resize`. */
function nameOf({ handler }: Program): string {
  const last = handler.split(/[.:]/).at(-1) ?? "";
  return isFunctionName(last) && handler.length > last.length && !namesOfApps.has(last) ? last : "default";
}

function invalid(message: string): AloftError {
  return new AloftError("CONFIG_INVALID", `aloft.json: ${message}`);
}

/**
 * `aloft.json`: what the code of an app cannot say. Read from its text by the command line and once more by the server;
 * the same text always gives the same configuration or the same list of problems.
 */
import { findNodeAtLocation, getNodeValue, parseTree, printParseErrorCode } from "jsonc-parser";
import type { JSONPath, Node, ParseError } from "jsonc-parser";
import { safeParse } from "valibot";
import type { BaseIssue } from "valibot";
import { parseDurationMs } from "../lib/durations.ts";
import { appConfigSchema, memoryMiBOf } from "./app-config-schema.ts";
import type { AppConfigJson, LimitsJson, ProgramJson, TriggerJson } from "./app-config-schema.ts";
import type { FunctionLimits, Runtime, Trigger } from "./deployment.ts";
import { emptyAppConfig } from "./empty-app-config.ts";
import { AloftError } from "./errors.ts";
import { limits } from "./limits.ts";
import type { NetworkPolicy } from "./network.ts";
import { formatTrigger, parseRoute } from "./route.ts";
import { parseEventTrigger } from "./trigger-options.ts";

export interface AppConfig {
  /** null: the folder's name. */
  readonly name: string | null;
  /** Relative to the folder; null: found by rule. */
  readonly entry: string | null;
  /** Of functions that say nothing else; null: found by rule. */
  readonly runtime: Runtime | null;
  /** The app as one function: its handler or command. null: `aloft.json` has none at its top. */
  readonly program: ProgramConfig | null;
  readonly domains: readonly string[];
  /** What the app's functions may reach. */
  readonly network: NetworkPolicy;
  /** Names of variables that must be set. */
  readonly requiredVariables: readonly string[];
  /** Names of packages that are carried as files. */
  readonly external: readonly string[];
  /** Paths and patterns of files to carry, relative to the folder. */
  readonly files: readonly string[];
  /** Zip archives and folders, relative to the folder, that functions find in /opt, later ones above earlier ones. */
  readonly layers: readonly string[];
  readonly defaults: Partial<FunctionLimits>;
  readonly functions: ReadonlyMap<string, FunctionConfig>;
}

export interface FunctionConfig {
  readonly limits: Partial<FunctionLimits>;
  readonly triggers: readonly Trigger[];
  /** null: an export of the app's Node code. */
  readonly program: ProgramConfig | null;
}

/** What is written about how a function is run; `programs.ts` says what of it goes together. */
export interface ProgramConfig {
  /** null: that of the app. */
  readonly runtime: Runtime | null;
  readonly handler: string | null;
  readonly command: readonly string[];
  readonly ready: string | null;
}

interface Problem {
  readonly offset: number;
  /** `functions.resize.memoryMiB`; "" is the whole file. */
  readonly path: string;
  readonly text: string;
}

const problemsShown = 50; // a file of another kind altogether is wrong in every line

/** "" is the configuration of an app without the file. Throws CONFIG_INVALID with every problem, each on a line. */
export function parseAppConfig(text: string): AppConfig {
  const bytes = Buffer.byteLength(text);
  if (bytes > limits.configBytes) {
    throw new AloftError("CONFIG_INVALID", `aloft.json has ${bytes} bytes, allowed are ${limits.configBytes}`);
  }
  // A byte order mark becomes a space, so that no offset moves.
  const plain = text.replace(/^\uFEFF/, " ");
  if (plain.trim() === "") return emptyAppConfig;
  const tree = treeOf(plain);
  const structural: Problem[] = [];
  inspect(tree, [], structural);
  if (structural.length > 0) fail(text, structural);
  const result = safeParse(appConfigSchema, getNodeValue(tree), { abortPipeEarly: true });
  if (!result.success)
    fail(
      text,
      result.issues.map((issue) => schemaProblem(issue, tree)),
    );
  return normalise(result.output);
}

function treeOf(text: string): Node {
  const errors: ParseError[] = [];
  try {
    const tree = parseTree(text, errors, { allowTrailingComma: true });
    if (tree !== undefined && errors.length === 0) return tree;
  } catch (thrown) {
    // The parser calls itself for every level, and the server reads texts of strangers.
    if (!(thrown instanceof RangeError)) throw thrown;
    fail(text, [{ offset: 0, path: "", text: "is nested too deeply" }]);
  }
  fail(text, errors.map(syntaxProblem));
}

function schemaProblem(issue: BaseIssue<unknown>, tree: Node): Problem {
  const path = (issue.path ?? []).map((item) => item.key as string | number);
  const isKey = issue.path?.at(-1)?.origin === "key";
  return { offset: offsetOf(tree, path, isKey), path: formatPath(path), text: issue.message };
}

function normalise(json: AppConfigJson): AppConfig {
  return {
    name: json.name ?? null,
    entry: json.entry === undefined ? null : json.entry.replace(/^(?:\.\/+)+/, ""),
    runtime: runtimeOf(json),
    // The runtime alone is that of the functions.
    program: programFrom({ ...json, runtime: undefined }),
    domains: [...new Set(json.domains)],
    network:
      json.network === undefined || typeof json.network === "string"
        ? (json.network ?? "internet")
        : [...new Set(json.network)],
    requiredVariables: [...new Set(json.variables)],
    external: [...new Set(json.external)],
    files: [...new Set(json.files)],
    layers: [...new Set(json.layers)],
    defaults: limitsOf(json.defaults ?? {}),
    functions: new Map(
      Object.entries(json.functions ?? {}).map(([name, entry]) => [
        name,
        {
          limits: limitsOf(entry),
          program: programFrom(entry),
          triggers: triggersFrom(name, entry.triggers ?? []),
        },
      ]),
    ),
  };
}

/** A function has each queue, stream, cron and store once: of two, one would take the place of the other without a word. */
function triggersFrom(name: string, given: readonly TriggerJson[]): Trigger[] {
  const triggers = given.map((trigger) => triggerFrom(name, trigger));
  const texts = triggers.filter(({ kind }) => kind !== "http").map((trigger) => formatTrigger(trigger));
  const twice = texts.find((text, index) => texts.indexOf(text) < index);
  if (twice === undefined) return triggers;
  throw new AloftError("CONFIG_INVALID", `aloft.json functions.${name}.triggers: ${twice} is there twice`, {
    hint: "say in its options all that it is for, or give it to another function as well",
  });
}

function triggerFrom(name: string, { http, options, ...event }: TriggerJson): Trigger {
  if (http !== undefined) return { kind: "http", ...parseRoute(http) };
  const [kind, resource] = Object.entries(event)[0] ?? ["", ""];
  try {
    return parseEventTrigger(kind, resource, options);
  } catch (error) {
    throw new AloftError("CONFIG_INVALID", `aloft.json functions.${name}.triggers: ${(error as Error).message}`);
  }
}

function programFrom(json: ProgramJson): ProgramConfig | null {
  const { runtime, handler, command, ready } = json;
  if (runtime === undefined && handler === undefined && command === undefined && ready === undefined) return null;
  return { runtime: runtimeOf(json), handler: handler ?? null, command: command ?? [], ready: ready ?? null };
}

/** A command says by itself what it is. */
function runtimeOf({ runtime, command }: ProgramJson): Runtime | null {
  return runtime ?? (command === undefined ? null : "command");
}

function limitsOf(json: LimitsJson): Partial<FunctionLimits> {
  const memoryMiB = json.memory === undefined ? json.memoryMiB : memoryMiBOf(json.memory);
  return {
    ...(memoryMiB === undefined ? {} : { memoryMiB }),
    ...(json.timeout === undefined ? {} : { timeoutMs: parseDurationMs(json.timeout) ?? 0 }),
    ...(json.concurrency === undefined ? {} : { concurrency: json.concurrency }),
    ...(json.minInstances === undefined ? {} : { minInstances: json.minInstances }),
    ...(json.maxInstances === undefined ? {} : { maxInstances: json.maxInstances }),
    ...(json.keepAlive === undefined ? {} : { keepAliveMs: parseDurationMs(json.keepAlive) ?? 0 }),
  };
}

function fail(text: string, problems: readonly Problem[]): never {
  const sorted = problems.toSorted((a, b) => a.offset - b.offset);
  const lines = sorted.slice(0, problemsShown).map(({ offset, path, text: what }) => {
    const { line, column } = positionOf(text, offset);
    return `aloft.json:${line}:${column} ${path === "" ? "" : `${path}: `}${what}`;
  });
  if (sorted.length > problemsShown) lines.push(`and ${sorted.length - problemsShown} more`);
  throw new AloftError("CONFIG_INVALID", lines.join("\n"), { detail: { problems: lines } });
}

/** What is lost once the text has become objects: the last of two equal keys would silently win. */
function inspect(node: Node, path: JSONPath, problems: Problem[]): void {
  if (node.type === "array") {
    // valibot takes a list for an object whose keys are numbers.
    if (isObjectPlace(path))
      problems.push({
        offset: node.offset,
        path: formatPath(path),
        text: "a list is not allowed; allowed is an object",
      });
    node.children?.forEach((child, index) => inspect(child, [...path, index], problems));
  }
  if (node.type !== "object") return;
  const seen = new Set<string>();
  for (const property of node.children ?? []) {
    const [key, value] = property.children ?? [];
    if (key === undefined || value === undefined) continue;
    const name = String(key.value);
    const inner = [...path, name];
    if (seen.has(name)) problems.push({ offset: key.offset, path: formatPath(inner), text: "is given twice" });
    // As a key of an object it would set the prototype and be lost.
    if (name === "__proto__") problems.push({ offset: key.offset, path: formatPath(inner), text: "unknown key" });
    seen.add(name);
    inspect(value, inner, problems);
  }
}

function isObjectPlace(path: JSONPath): boolean {
  if (path.length < 2) return path.length === 0 || path[0] === "defaults" || path[0] === "functions";
  return path[0] === "functions" && (path.length === 2 || (path.length === 4 && path[2] === "triggers"));
}

/** Where the value stands, or its key; for one that is missing, where the object stands that should hold it. */
function offsetOf(tree: Node, path: JSONPath, isKey: boolean): number {
  for (let length = path.length; length >= 0; length--) {
    const node = findNodeAtLocation(tree, path.slice(0, length));
    if (node === undefined) continue;
    const key = node.parent?.type === "property" ? node.parent.children?.[0] : undefined;
    return isKey && length === path.length && key !== undefined ? key.offset : node.offset;
  }
  return tree.offset;
}

function positionOf(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset);
  const lastBreak = before.lastIndexOf("\n");
  return { line: before.split("\n").length, column: offset - lastBreak };
}

function formatPath(path: JSONPath): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === "number") return `${text}[${part}]`;
    return text === "" ? part : `${text}.${part}`;
  }, "");
}

const syntaxWords: Readonly<Record<string, string>> = {
  InvalidSymbol: "this is not JSON; texts stand in double quotes",
  InvalidNumberFormat: "this is not a number",
  PropertyNameExpected: "a key in double quotes is missing here",
  ValueExpected: "a value is missing here",
  ColonExpected: "a colon is missing here",
  CommaExpected: "a comma is missing here",
  CloseBraceExpected: "a closing } is missing here",
  CloseBracketExpected: "a closing ] is missing here",
  EndOfFileExpected: "the file should end here",
  UnexpectedEndOfComment: "this comment does not end",
  UnexpectedEndOfString: "this text does not end",
  UnexpectedEndOfNumber: "this number does not end",
  InvalidUnicode: "this is not a valid \\u escape",
  InvalidEscapeCharacter: "this is not a valid escape",
  InvalidCharacter: "this character is not allowed in a text",
};

function syntaxProblem(error: ParseError): Problem {
  const name = printParseErrorCode(error.error);
  return { offset: error.offset, path: "", text: syntaxWords[name] ?? name };
}

/**
 * From what the code says (described) and what `aloft.json` says to the manifest of a deployment: limits, URLs, groups.
 * Pure: the same input is the same manifest, and so is the id.
 */
import { createHash } from "node:crypto";
import { nearestWord } from "../lib/edit-distance.ts";
import type { AppConfig } from "./app-config.ts";
import type {
  DeploymentFile,
  DescribedFunction,
  FunctionLimits,
  FunctionSpec,
  GroupSpec,
  HandlerStyle,
  HttpTrigger,
  Manifest,
  Runtime,
  Trigger,
} from "./deployment.ts";
import { AloftError } from "./errors.ts";
import type { PlannedProgram } from "./programs.ts";
import { functionLimits } from "./limits.ts";
import { formatRoute, formatTrigger, routeShapes, routesOf } from "./route.ts";

export interface ManifestInput {
  readonly described: readonly DescribedFunction[];
  readonly config: AppConfig;
  readonly files: readonly DeploymentFile[];
  /** "" when there is none. */
  readonly entry: string;
  /** Of the functions that have no program. */
  readonly runtime: Runtime;
  /** Functions that are no exports of Node code; each is among the described ones too. */
  readonly programs?: readonly PlannedProgram[];
}

/** Whether requests can reach a handler of this style at all. */
const takesHttp: Readonly<Record<HandlerStyle, boolean>> = {
  http: true,
  fetch: true,
  lambda: true,
  asgi: true,
  wsgi: true,
  server: true,
  "ff-http": true,
  fn: false,
  event: false,
  "ff-event": false,
  "ff-cloudevent": false,
};

/**
 * Throws NO_FUNCTIONS, CONFIG_INVALID (aloft.json does not fit the code, or a limit of the code is out of range) and
 * ROUTE_CONFLICT.
 */
export function buildManifest(input: ManifestInput): Manifest {
  const { described, config, files, entry, runtime } = input;
  const programs = new Map(input.programs?.map(({ name, program }) => [name, program]));
  if (described.length === 0) {
    throw new AloftError("NO_FUNCTIONS", `${entry} exports no function`, {
      hint: 'export one, for example: export default { fetch: () => new Response("hello") }',
    });
  }
  assertNamesDiffer(described);
  assertNamesExist(described, config);
  const listed = described.map((fn) => ({ ...fn, triggers: listedTriggers(fn, config) }));
  const routed = withDefaultUrls(listed);
  assertNoConflicts(routed);
  assertOneConsumer(routed);
  assertWindowsFit(routed);
  const names = new Set(described.map(({ name }) => name));
  const functions = routed.map((fn): FunctionSpec => {
    const { name, style, triggers } = fn;
    const program = programs.get(name);
    const isApart = program !== undefined;
    const spec = { name, style, triggers, limits: limitsOf(fn, config), group: groupOf(fn, config, names, isApart) };
    return program === undefined ? spec : { ...spec, program };
  });
  return {
    format: 1,
    runtime,
    entry,
    files,
    functions,
    groups: groupsOf(functions),
    domains: config.domains,
    network: config.network,
    requiredVariables: config.requiredVariables,
  };
}

/**
 * 40 hexadecimal digits, the same wherever the same files, entry and `aloft.json` are deployed to the same runtime. The
 * order of the files does not count.
 */
export function deploymentIdOf(
  files: readonly DeploymentFile[],
  entry: string,
  configText: string,
  runtimeVersion: string,
): string {
  const sorted = files
    .map(({ path, hash, executable }) => [path, hash, executable === true])
    .toSorted(([a], [b]) => (String(a) < String(b) ? -1 : 1));
  const text = JSON.stringify(["aloft deployment 1", runtimeVersion, entry, configText, sorted]);
  return createHash("sha256").update(text).digest("hex").slice(0, 40);
}

function assertNamesDiffer(described: readonly DescribedFunction[]): void {
  const names = new Set<string>();
  for (const { name } of described) {
    if (names.has(name)) throw new AloftError("DESCRIBE_FAILED", `two functions have the name ${name}`);
    names.add(name);
  }
}

function assertNamesExist(described: readonly DescribedFunction[], config: AppConfig): void {
  const names = described.map(({ name }) => name);
  const unknown = [...config.functions.keys()].filter((name) => !names.includes(name));
  if (unknown.length === 0) return;
  const lines = unknown.map((name) => {
    const nearest = nearestWord(name, names);
    const guess = nearest === null ? "" : `; did you mean "${nearest}"?`;
    return `aloft.json functions.${name}: the code exports no such function${guess}`;
  });
  throw new AloftError("CONFIG_INVALID", lines.join("\n"), {
    hint: `the functions are ${names.join(", ")}`,
    detail: { problems: lines, functions: names },
  });
}

function assertWindowsFit(functions: readonly DescribedFunction[]): void {
  const wrong = functions.find(
    ({ style, triggers }) =>
      style === "event" &&
      triggers.some((one) => one.kind === "stream" && typeof one.options["tumblingMs"] === "number"),
  );
  if (wrong === undefined) return;
  throw new AloftError(
    "CONFIG_INVALID",
    `the function ${wrong.name} has a tumblingWindow, which is for Lambda handlers`,
    {
      hint: "declare it with stream(...).window",
    },
  );
}

/** What the code and aloft.json say, each route once. */
function listedTriggers(fn: DescribedFunction, config: AppConfig): readonly Trigger[] {
  const added = config.functions.get(fn.name)?.triggers ?? [];
  if (added.some(({ kind }) => kind === "http") && !takesHttp[fn.style]) {
    const message = `aloft.json functions.${fn.name}.triggers: a handler of the style ${fn.style} takes no requests`;
    throw new AloftError("CONFIG_INVALID", message, { hint: "call it with aloft invoke, or make it an http handler" });
  }
  // What aloft.json says of a trigger that the code names too counts.
  const triggers = new Map([...fn.triggers, ...added].map((trigger) => [formatTrigger(trigger), trigger]));
  return [...triggers.values()];
}

/**
 * URLs that nobody wrote down. Routes come first. `default` takes every path that is left; without it a single handler
 * that has no route takes them, and several take `/NAME` and all below it.
 */
function withDefaultUrls(functions: readonly DescribedFunction[]): readonly DescribedFunction[] {
  const unrouted = functions.filter((fn) => wantsUrl(fn));
  // A default with routes of its own is still the default: nobody else takes what it leaves.
  const hasDefault = functions.some(({ name, style }) => name === "default" && takesHttp[style]);
  const takesAll = (fn: DescribedFunction): boolean => (hasDefault ? fn.name === "default" : unrouted.length === 1);
  return functions.map((fn) => {
    if (!unrouted.includes(fn)) return fn;
    if (takesAll(fn)) return { ...fn, triggers: [...fn.triggers, everyMethod("/*")] };
    if (hasDefault) return fn;
    return { ...fn, triggers: [...fn.triggers, everyMethod(`/${fn.name}`), everyMethod(`/${fn.name}/*`)] };
  });
}

/** A Lambda handler that has a queue or a schedule and no route asks for no address; an app with a `fetch` does all the same. */
function wantsUrl({ style, triggers }: DescribedFunction): boolean {
  if (!takesHttp[style] || routesOf(triggers).length > 0) return false;
  return style !== "lambda" || triggers.length === 0;
}

function everyMethod(path: string): Trigger {
  return { kind: "http", method: "*", path };
}

function assertNoConflicts(functions: readonly DescribedFunction[]): void {
  const owners = new Map<string, { name: string; trigger: HttpTrigger }>();
  for (const { name, triggers } of functions) {
    for (const trigger of routesOf(triggers)) {
      for (const shape of routeShapes(trigger.path)) {
        const key = `${trigger.method} ${shape}`;
        const owner = owners.get(key);
        if (owner !== undefined) throw conflictOf(owner, { name, trigger });
        owners.set(key, { name, trigger });
      }
    }
  }
}

/** A message is handled once, by one function; a stream has as many consumers as there are. */
function assertOneConsumer(functions: readonly DescribedFunction[]): void {
  const consumers = new Map<string, string>();
  for (const { name, triggers } of functions) {
    for (const trigger of triggers) {
      if (trigger.kind !== "queue") continue;
      const other = consumers.get(trigger.name);
      if (other !== undefined) {
        throw new AloftError("CONFIG_INVALID", `${other} and ${name} both consume the queue ${trigger.name}`, {
          hint: "give each a queue of its own, or use a stream, which has any number of consumers",
          detail: { functions: [other, name] },
        });
      }
      consumers.set(trigger.name, name);
    }
  }
}

function conflictOf(a: { name: string; trigger: HttpTrigger }, b: { name: string; trigger: HttpTrigger }): AloftError {
  const [first, second] = [formatRoute(a.trigger), formatRoute(b.trigger)];
  if (a.name === b.name)
    return new AloftError("ROUTE_CONFLICT", `${a.name} claims ${first} and ${second}, which are one route`);
  const message =
    first === second
      ? `${a.name} and ${b.name} both claim ${first}`
      : `${a.name} claims ${first} and ${b.name} claims ${second}, which match the same paths`;
  return new AloftError("ROUTE_CONFLICT", message, {
    hint: "give one of them another method or path",
    detail: { functions: [a.name, b.name] },
  });
}

/** Platform's defaults < the code < `defaults` of aloft.json < the function's entry there. */
function limitsOf({ name, style, limits: own }: DescribedFunction, config: AppConfig): FunctionLimits {
  const entry = config.functions.get(name)?.limits ?? {};
  const given = { ...own, ...config.defaults, ...entry };
  if (style === "lambda" && (entry.concurrency ?? own.concurrency ?? 1) !== 1) {
    throw new AloftError(
      "CONFIG_INVALID",
      `function ${name}: concurrency is ${given.concurrency}; a Lambda handler takes one request at a time`,
    );
  }
  const isHttp = style !== "lambda" && takesHttp[style];
  const merged: FunctionLimits = {
    memoryMiB: given.memoryMiB ?? functionLimits.memoryMiB.standard,
    timeoutMs: given.timeoutMs ?? (isHttp ? functionLimits.timeoutMs : functionLimits.eventTimeoutMs).standard,
    concurrency: style === "lambda" ? 1 : (given.concurrency ?? functionLimits.concurrency.standard),
    minInstances: given.minInstances ?? functionLimits.minInstances.standard,
    maxInstances: given.maxInstances ?? functionLimits.maxInstances.standard,
    keepAliveMs: given.keepAliveMs ?? functionLimits.keepAliveMs.standard,
  };
  assertInRange(name, merged);
  return merged;
}

function assertInRange(name: string, limits: FunctionLimits): void {
  for (const key of Object.keys(limits) as (keyof FunctionLimits)[]) {
    const { min, max } = functionLimits[key];
    const value = limits[key];
    if (Number.isInteger(value) && value >= min && value <= max) continue;
    throw new AloftError("CONFIG_INVALID", `function ${name}: ${key} is ${value}, allowed are ${min} to ${max}`);
  }
  if (limits.minInstances > limits.maxInstances) {
    const message = `function ${name}: minInstances is ${limits.minInstances}, more than maxInstances ${limits.maxInstances}`;
    throw new AloftError("CONFIG_INVALID", message, { hint: "set maxInstances as well" });
  }
}

/** A function whose own limits, signature or program set it apart has instances of its own. */
function groupOf(
  { name, style, limits }: DescribedFunction,
  config: AppConfig,
  names: ReadonlySet<string>,
  hasProgram: boolean,
): string {
  const isApart = hasProgram || Object.keys({ ...limits, ...config.functions.get(name)?.limits }).length > 0;
  if (style !== "lambda" && !isApart) return eventStyles.has(style) ? "events" : "http";
  // A function may have the name of a shared group; no function's name holds two hyphens.
  return (name === "http" || name === "events") && names.size > 1 ? `${name}--own` : name;
}

const eventStyles: ReadonlySet<HandlerStyle> = new Set<HandlerStyle>(["event", "ff-event", "ff-cloudevent"]);

/** Within a group only time-outs differ, and those are each invocation's own: the group has the longest. */
function groupsOf(functions: readonly FunctionSpec[]): readonly GroupSpec[] {
  const groups = new Map<string, GroupSpec>();
  for (const { group, limits, program } of functions) {
    const timeoutMs = Math.max(limits.timeoutMs, groups.get(group)?.limits.timeoutMs ?? 0);
    const spec = { name: group, limits: { ...limits, timeoutMs } };
    groups.set(group, program === undefined ? spec : { ...spec, program });
  }
  return [...groups.values()];
}

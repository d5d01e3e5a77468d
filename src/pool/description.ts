/** What a guest says of an app's exports is unknown input: parsed here, within bounds, before anything believes it. */
import type { DescribedFunction, FunctionLimits, HandlerStyle, Trigger } from "../contract/deployment.ts";
import { AloftError } from "../contract/errors.ts";
import { functionLimits, limits } from "../contract/limits.ts";
import { isFunctionName } from "../contract/names.ts";
import { parseRoute } from "../contract/route.ts";
import { parseEventTrigger } from "../contract/trigger-options.ts";

const styles: ReadonlySet<string> = new Set<HandlerStyle>([
  "http",
  "fn",
  "event",
  "fetch",
  "lambda",
  "ff-http",
  "ff-event",
  "ff-cloudevent",
  "asgi",
  "wsgi",
]);

export function parseDescription(value: unknown): readonly DescribedFunction[] {
  const list = isRecord(value) ? value["functions"] : null;
  if (!Array.isArray(list)) throw invalid("the runtime sent no list of functions");
  if (list.length > limits.functionsPerApp) {
    throw invalid(`the code exports ${list.length} functions, over the limit of ${limits.functionsPerApp}`);
  }
  const functions = list.map(parseFunction);
  const names = new Set<string>();
  for (const { name } of functions) {
    if (names.has(name)) throw invalid(`two functions are called ${name}`);
    names.add(name);
  }
  return functions;
}

function parseFunction(value: unknown): DescribedFunction {
  if (!isRecord(value)) throw invalid("a function is not described by an object");
  const { name, style, triggers, limits: given } = value;
  if (typeof name !== "string" || !isFunctionName(name)) {
    throw invalid(`${shown(name)} is not a name for a function`);
  }
  if (typeof style !== "string" || !styles.has(style)) throw invalid(`the function ${name} has an unknown style`);
  if (!Array.isArray(triggers) || triggers.length > 100) throw invalid(`the function ${name} has no list of triggers`);
  return {
    name,
    style: style as HandlerStyle,
    triggers: triggers.map((one) => parseTrigger(name, one)),
    limits: parseLimits(name, given),
  };
}

function parseTrigger(name: string, value: unknown): Trigger {
  if (!isRecord(value) || typeof value["kind"] !== "string") throw invalid(`a trigger of ${name} has no kind`);
  if (value["kind"] !== "http") return parseEvent(name, value["kind"], value);
  const { method, path } = value;
  if (typeof method !== "string" || typeof path !== "string") throw invalid(`a route of ${name} has no method or path`);
  const route = method === "*" ? path : `${method} ${path}`;
  return { kind: "http", ...parseRoute(route) };
}

function parseEvent(name: string, kind: string, value: Readonly<Record<string, unknown>>): Trigger {
  try {
    return parseEventTrigger(kind, value["name"], value["options"]);
  } catch (error) {
    throw invalid(`the function ${name}: ${(error as Error).message}`);
  }
}

function parseLimits(name: string, value: unknown): Partial<FunctionLimits> {
  if (!isRecord(value)) return {};
  const parsed: Partial<Record<keyof FunctionLimits, number>> = {};
  for (const key of ["memoryMiB", "timeoutMs", "concurrency", "minInstances", "maxInstances", "keepAliveMs"] as const) {
    const given = value[key];
    if (given === undefined) continue;
    const { min, max } = functionLimits[key];
    if (typeof given !== "number" || !Number.isInteger(given) || given < min || given > max) {
      throw invalid(
        `${key} of the function ${name} is ${shown(given)}; it must be a whole number from ${min} to ${max}`,
      );
    }
    parsed[key] = given;
  }
  return parsed;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Unknown input in a message: short, whatever it is. */
function shown(value: unknown): string {
  if (typeof value === "object" && value !== null) return "an object";
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= 100 ? text : `${text.slice(0, 99)}…`;
}

function invalid(message: string): AloftError {
  return new AloftError("DESCRIBE_FAILED", message);
}

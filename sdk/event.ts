/** What `cron`, `stream` and their like return: an exported function that a trigger calls. */
import { type Context, contextForDirectCall } from "./context.ts";
import { type DeclaredFunction, type DeclaredTrigger, functionKey } from "./declared-function.ts";
import { type FunctionOptions, limitsFrom } from "./options.ts";

/**
 * Export it, and its trigger calls it. Calling it runs the handler in place, with a context made up where there is none; that
 * is how unit tests use it.
 */
export interface EventFunction<Event, Result = unknown> {
  (event: Event, context?: Partial<Context>): Promise<Result>;
  /** The handler as it was given. */
  readonly handler: (event: Event, context: Context) => Result | Promise<Result>;
}

interface Declaration<Event, Result> {
  readonly trigger: DeclaredTrigger;
  readonly options: FunctionOptions;
  readonly handler: (event: Event, context: Context) => Result | Promise<Result>;
  /** Gets the trigger's payload; the handler itself when left out. */
  readonly deliver?: (payload: never, context: Context) => unknown;
}

export function eventFunction<Event, Result>(declaration: Declaration<Event, Result>): EventFunction<Event, Result> {
  const { trigger, options, handler, deliver } = declaration;
  if (typeof handler !== "function")
    throw new TypeError(`${trigger.kind}("${trigger.name}"): the handler is not a function`);
  limitsFrom(options);

  async function call(event: Event, context?: Partial<Context>): Promise<Result> {
    return await handler(event, { ...contextForDirectCall(), ...context });
  }

  const declared: DeclaredFunction = { kind: "event", trigger, options, handler: deliver ?? handler };
  return Object.assign(call, { handler, [functionKey]: declared });
}

const functionOptionNames: ReadonlySet<string> = new Set([
  "memory",
  "memoryMiB",
  "timeout",
  "concurrency",
  "minInstances",
  "maxInstances",
  "keepAlive",
]);

/** Options of a function stand beside those of its trigger. */
export function splitOptions(options: object): { limits: FunctionOptions; own: Record<string, unknown> } {
  const limits: Record<string, unknown> = {};
  const own: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined) (functionOptionNames.has(name) ? limits : own)[name] = value;
  }
  return { limits, own };
}

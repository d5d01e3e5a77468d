import { type Context, contextForDirectCall } from "./context.ts";
import { type DeclaredFunction, functionKey } from "./declared-function.ts";
import { type AsJson, asJson } from "./json.ts";
import { callLater, type LaterCall, type LaterOptions } from "./later.ts";
import { type FunctionOptions, limitsFrom } from "./options.ts";
import { findRuntimeHost } from "./runtime-host.ts";

/** Turns one input into one output; both travel as JSON, each at most 6 MiB. */
export type FnHandler<In, Out> = (input: In, context: Context) => Out | Promise<Out>;

/**
 * What `fn` returns: export it, and it can be called by its name. Calling it from other code of the app runs it as an
 * invocation of its own, in an instance of its own group, with its own timeout and record; the error of a handler that
 * throws reaches the caller with its message. Outside Aloft the handler runs in place, its output made JSON all the same.
 */
export interface Fn<In, Out> {
  (...input: Input<In>): Promise<AsJson<Out>>;
  /**
   * Calls it durably: the call is kept before this resolves, made when there is room, and made again when it fails. In an
   * event's handler it is one of the writes that commit with the event.
   */
  later(input: In, options?: LaterOptions): Promise<LaterCall>;
  /** The handler as it was given. */
  readonly handler: FnHandler<In, Out>;
}

/** A handler that can do without an input can be called without one. */
type Input<In> = undefined extends In ? [input?: In] : [input: In];

/**
 * Declares a function that is called by name: from other functions, through the API, with `aloft invoke`. It has no
 * public address.
 *
 *     export const resize = fn(async (image: { id: string; width: number }) => ({ url: await store(image) }));
 *     const { url } = await resize({ id: "a1", width: 320 });
 *
 * Throws when the options are not valid.
 */
export function fn<In, Out>(handler: (input: In, context: Context) => Out): Fn<In, Awaited<Out>>;
export function fn<In, Out>(
  options: FunctionOptions,
  handler: (input: In, context: Context) => Out,
): Fn<In, Awaited<Out>>;
export function fn(
  ...parameters: [FnHandler<unknown, unknown>] | [FunctionOptions, FnHandler<unknown, unknown>]
): Fn<unknown, unknown> {
  const [options, handler] = parameters.length === 1 ? [{}, parameters[0]] : parameters;
  limitsFrom(options);
  if (typeof handler !== "function") throw new TypeError("fn(): the handler is not a function");
  let exportName: string | null = null;

  async function call(input?: unknown): Promise<unknown> {
    const host = findRuntimeHost();
    if (host === null) return asJson(await handler(asJson(input), contextForDirectCall()));
    return await host.invoke(nameOf(), input ?? null);
  }

  function nameOf(): string {
    if (exportName !== null) return exportName;
    throw new Error(
      "a fn was called that has no name: export it from the app's entry file, and call it from handlers, not during import",
    );
  }

  /** Without `async`: the runtime looks after the promise of a write as it is. */
  function later(input: unknown, given?: LaterOptions): Promise<LaterCall> {
    return callLater(findRuntimeHost() === null ? (exportName ?? "fn") : nameOf(), input, given);
  }

  const declared: DeclaredFunction = {
    kind: "fn",
    options,
    handler,
    bind: (name) => {
      exportName ??= name;
    },
  };
  return Object.assign(call, { handler, later, [functionKey]: declared });
}

/**
 * Calls a function of this app by its name, for names that are not known before the call; a `fn` that can be imported is
 * better called directly, with its types. Rejects with the function's error, or when there is no such function.
 */
export async function invoke<Out = unknown>(name: string, input?: unknown): Promise<Out> {
  const host = findRuntimeHost();
  if (host === null)
    throw new Error(`invoke("${name}") works inside Aloft only; import the function and call it instead`);
  return (await host.invoke(name, input ?? null)) as Out;
}

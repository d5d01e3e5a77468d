/**
 * What the SDK asks of the runtime it runs in. The runtime puts one of these under a well-known symbol before it imports
 * any code, so that a bundle with an SDK of its own version finds it. Where there is none, the code runs outside Aloft.
 */
import type { Server } from "node:http";
import type { Context } from "./context.ts";

export const runtimeHostKey: unique symbol = Symbol.for("aloft.runtime");

export interface RuntimeHost {
  /** Calls a function of the same deployment. `payload` and the result travel as JSON. */
  invoke(functionName: string, payload: unknown): Promise<unknown>;
  /** Of the invocation in whose asynchronous flow this is called; null outside of any. */
  currentContext(): Context | null;
  /** What handlers read and write durably. */
  readonly state: StateHost;
  /** What Functions Framework code registered while it was imported, in order. */
  readonly registrations: Registration[];
}

/** A read or a write of state; `docs/state-api.md` lists methods and arguments. */
export interface StateRequest {
  readonly resource: "kv" | "blob" | "queue" | "stream" | "async";
  readonly name: string;
  readonly method: string;
  readonly args: Readonly<Record<string, unknown>>;
}

export interface StateHost {
  read(request: StateRequest): Promise<unknown>;
  /** In an event's handler the write is held until its outcome; elsewhere it is committed when this resolves. */
  write(request: StateRequest): Promise<unknown>;
  /** The answer of the handler that runs waits for it. */
  track(work: Promise<unknown>): void;
  /** Commits together what `work` writes, under the check of what it reads; runs it again when that has changed. */
  atomic<T>(work: () => Promise<T>): Promise<T>;
  /** In an event's handler: takes back what `work` has written when it throws. */
  undoOnThrow<T>(work: () => Promise<T>): Promise<T>;
}

/** A function that was registered with the Functions Framework. */
export interface Registration {
  readonly name: string;
  readonly signature: "http" | "event" | "cloudevent";
  /** The user's own: (req, res), (data, context[, callback]) or (cloudEvent[, callback]). */
  readonly handler: (...parameters: never[]) => unknown;
  /** The real framework's server around the handler, never listening; null for `event`, which the framework lacks. */
  readonly server: (() => Server) | null;
  /** Set by the runtime: told of an error of the handler before the framework makes a response of it. */
  onError: ((error: unknown) => void) | null;
}

export function findRuntimeHost(): RuntimeHost | null {
  return (globalThis as { [runtimeHostKey]?: RuntimeHost })[runtimeHostKey] ?? null;
}

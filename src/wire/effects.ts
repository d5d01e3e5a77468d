/**
 * What functions ask of durable state, as it travels between a guest and its node: reads, effects (writes that a handler
 * asks for), and the outcome of an event in which both are told together. JSON throughout; bytes are base64 in `{ "b64": … }`.
 *
 * An event's handler (invoke kind 2) gets an EventDocument and answers with an OutcomeDocument. Its writes are held by the
 * runtime and travel in `effects`; what it read under check travels in `seen`. Both are unknown input to the node: they name
 * resources of the app's own environment and nothing else, so a guest that lies can only spoil its own app's state.
 */

/** The kinds of state there are. */
export type ResourceKind = "kv" | "blob" | "queue" | "stream" | "async";

/** A read: answered with `{ value, seen }` (ReadReply). Which methods and arguments there are is the resource's own. */
export interface StateRead {
  readonly resource: ResourceKind;
  readonly name: string;
  readonly method: string;
  readonly args: Readonly<Record<string, unknown>>;
}

/** One write that a handler asks for. Which methods and arguments there are is the resource's own. */
export interface Effect {
  readonly resource: ResourceKind;
  readonly name: string;
  readonly method: string;
  readonly args: Readonly<Record<string, unknown>>;
}

/**
 * What a read has seen and a commit can check again. `version` 0: there was nothing. A range holds exactly `count` entries
 * from `start` (included) to `end` (not included), the highest of their versions is `highest`; null: the resource's own end.
 */
export type Seen =
  | { readonly resource: ResourceKind; readonly name: string; readonly key: string; readonly version: number }
  | {
      readonly resource: ResourceKind;
      readonly name: string;
      readonly start: string;
      readonly end: string | null;
      readonly count: number;
      readonly highest: number;
    };

export interface ReadReply {
  readonly value: unknown;
  /** Empty for reads without check (`{ snapshot: true }`). */
  readonly seen: readonly Seen[];
}

/** Writes of an HTTP handler, each at once or several in `atomic()`: answered with one result for each effect. */
export interface StateCommit {
  readonly seen: readonly Seen[];
  readonly effects: readonly Effect[];
}

/** What an event's handler gets. */
export interface EventDocument {
  readonly trigger: "queue" | "stream" | "cron" | "blob" | "async";
  /** The same for every delivery of this event: to hand on to the world outside. */
  readonly idempotencyKey: string;
  /** The trigger's own: the messages of a batch, the tick of a schedule, the input of an asynchronous call. */
  readonly payload: unknown;
}

export interface OutcomeError {
  /** The error's name, e.g. "TypeError". */
  readonly type: string;
  readonly message: string;
  readonly stack: string;
  readonly code?: string;
  /** The handler's own wish: never again, or not before so many milliseconds have passed. */
  readonly retry?: "never" | { readonly afterMs: number };
}

export type OutcomeDocument =
  | {
      readonly ok: true;
      readonly value: unknown;
      readonly seen: readonly Seen[];
      readonly effects: readonly Effect[];
      /** Of a batch taken one by one with `messages.each`: those that failed, whose writes were undone. */
      readonly failed?: readonly { readonly id: string; readonly error: OutcomeError }[];
    }
  | { readonly ok: false; readonly error: OutcomeError; readonly seen: readonly Seen[] };

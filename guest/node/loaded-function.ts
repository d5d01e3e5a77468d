/** One function of an app as the runtime calls it, whatever style it was written in. */
import type { DeclaredTrigger } from "../../sdk/declared-function.ts";
import type { Context } from "../../sdk/index.ts";
import type { DeclaredLimits } from "../../sdk/options.ts";
import type { EventDocument } from "../../src/wire/effects.ts";

export type HandlerStyle =
  | "http"
  | "fn"
  | "event"
  | "fetch"
  | "lambda"
  | "ff-http"
  | "ff-event"
  | "ff-cloudevent"
  | "server";

export interface HttpTrigger {
  readonly kind: "http";
  /** Upper case, or `*`. */
  readonly method: string;
  /** A find-my-way pattern. */
  readonly path: string;
}

export interface LoadedFunction {
  readonly name: string;
  readonly style: HandlerStyle;
  /** What the code says itself; the addresses of the other styles follow from the style. */
  readonly triggers: readonly (HttpTrigger | DeclaredTrigger)[];
  readonly limits: DeclaredLimits;
  /** Answers a request. What is not a Response is the caller's to refuse. */
  fetch(request: Request, context: Context): unknown;
  /** Answers a call with a value, or an event with its payload, which came as JSON; the result is to be made JSON. */
  call(input: unknown, context: Context): unknown;
  /** In the place of `call` for events, where these are told from calls. */
  event?(trigger: EventDocument["trigger"], payload: unknown, context: Context): unknown;
  /** In the place of `call` where the bytes are the function's own business: in and out as they are. */
  callRaw?(input: Buffer, context: Context): Promise<Buffer>;
}

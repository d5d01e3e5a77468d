/**
 * Calls a Lambda handler in whichever way it answers: by promise, by callback, by `context.done` and its like, by a plain
 * return value, or not at all.
 *
 * AWS learns that a handler without an answer is over when Node's event loop has run empty. Here it never does, for the
 * frame socket is always open, so the resources that keep a loop alive are counted instead. One Lambda instance serves
 * one invocation at a time, so what was not there before belongs to the invocation.
 */
import { inspect, types } from "node:util";
import type { Context } from "../../sdk/index.ts";
import { type LambdaCallback, type LambdaContext, lambdaContext } from "./lambda-context.ts";
import { amazonTraceId } from "./lambda-event.ts";

export type LambdaHandler = (event: unknown, context: LambdaContext, callback: LambdaCallback) => unknown;

export function callLambda(handler: LambdaHandler, event: unknown, context: Context): Promise<unknown> {
  const before = activeResources();
  setTraceId(context);
  return new Promise((resolve, reject) => {
    let isFinished = false;
    const finish: LambdaCallback = (error, result) => {
      if (isFinished) return;
      isFinished = true;
      if (error === undefined || error === null) resolve(result);
      else reject(lambdaError(error));
      if (lambda.callbackWaitsForEmptyEventLoop && !isQuiet(before, endsByItself)) {
        // The answer leaves at once; the invocation lasts until the work behind it is done.
        context.waitUntil(untilQuiet(before, context.deadline, endsByItself, () => false));
      }
    };
    const lambda = lambdaContext(context, finish);
    // What throws here rejects the promise below: a sync throw is an answer like any other.
    const returned = (async () => await settle(handler, event, lambda, finish))();
    returned.then(
      (result) => {
        if (result === noAnswer) {
          if (takesCallback(handler)) return;
          void untilQuiet(
            before,
            context.deadline,
            () => true,
            () => isFinished,
          ).then(() => finishWith(null, null));
          return;
        }
        finishWith(null, result);
      },
      (error: unknown) => finishWith(error ?? new Error("the handler rejected with nothing"), undefined),
    );

    /** Not by callback: nothing waits for the event loop. */
    function finishWith(error: unknown, result: unknown): void {
      lambda.callbackWaitsForEmptyEventLoop = false;
      finish(error, result);
    }
  });
}

const noAnswer = Symbol("no answer");

function settle(handler: LambdaHandler, event: unknown, lambda: LambdaContext, callback: LambdaCallback): unknown {
  const result = handler(event, lambda, callback);
  if (isPromise(result)) return result;
  // A handler that takes a callback answers by it, whatever it happens to return.
  return result === undefined || takesCallback(handler) ? noAnswer : result;
}

function takesCallback(handler: LambdaHandler): boolean {
  return handler.length >= 3;
}

function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}

/** What is thrown need not be an error: AWS then names the type of the value. */
export function lambdaError(error: unknown): Error {
  if (types.isNativeError(error)) return error;
  const made = new Error(typeof error === "string" ? error : inspect(error));
  made.name = typeof error;
  made.stack = "";
  return made;
}

export interface LambdaErrorPayload {
  readonly errorType: string;
  readonly errorMessage: string;
  readonly stackTrace: readonly string[];
}

/** An error as AWS's clients and runtimes write it. */
export function lambdaErrorPayload(error: unknown): LambdaErrorPayload {
  const { name, message, stack } = lambdaError(error);
  const lines = (stack ?? "").split("\n").map((line) => line.trim());
  return { errorType: name, errorMessage: message, stackTrace: lines.filter((line) => line.startsWith("at ")) };
}

export function setTraceId(context: Context): void {
  const trace = amazonTraceId(context.traceparent);
  if (trace === "") delete process.env["_X_AMZN_TRACE_ID"];
  else process.env["_X_AMZN_TRACE_ID"] = trace;
}

/** Number of resources that keep the event loop alive, by kind. */
type Resources = ReadonlyMap<string, number>;

function activeResources(): Resources {
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return counts;
}

/** Timers, file and name lookups; not connections, which pools hold open for later. */
function endsByItself(kind: string): boolean {
  return !/^(?:TCP|UDP|Pipe|TTY|TLS|Process|Message|Signal|HTTP)/.test(kind);
}

const pollMs = 5;

/** Resolves when no more resources of the kinds asked for are active than before, or at the deadline. */
async function untilQuiet(
  before: Resources,
  deadlineMs: number,
  counts: (kind: string) => boolean,
  isOver: () => boolean,
): Promise<void> {
  await new Promise(setImmediate);
  while (!isOver() && Date.now() < deadlineMs && !isQuiet(before, counts)) {
    await new Promise((resolve) => {
      // Unreferenced, so that it is not counted itself.
      setTimeout(resolve, pollMs).unref();
    });
  }
}

function isQuiet(before: Resources, counts: (kind: string) => boolean): boolean {
  for (const [kind, count] of activeResources()) {
    if (counts(kind) && count > (before.get(kind) ?? 0)) return false;
  }
  return true;
}

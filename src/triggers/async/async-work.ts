/** The calls that wait in an environment, as a queue whose messages each name their function. */
import type { FunctionSpec, LiveDeployment } from "../../contract/deployment.ts";
import type { Environment } from "../../contract/durable.ts";
import type { Check, Write } from "../../contract/keyspace.ts";
import { limits } from "../../contract/limits.ts";
import { parseQueueOptions, type RetryPolicy } from "../../contract/queue-options.ts";
import { asyncPlace, callKey, cancelKey } from "../../state/async/async-keys.ts";
import { type CallBody, type EndedCall, failedRow, succeededRow } from "../../state/async/call-row.ts";
import type { StoredMessage } from "../../state/queue/stored-message.ts";
import type { Effect, OutcomeError } from "../../wire/effects.ts";
import type { Along, QueueWork } from "../queue/queue-work.ts";

/** https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html */
const lambdaRetry: RetryPolicy = { attempts: 3, minDelayMs: 60_000, maxDelayMs: 120_000, factor: 2, jitter: 0 };
const options = parseQueueOptions("async", { concurrency: limits.callsAtOnce });

export type FindLive = (app: string, alias: string) => LiveDeployment | null;

/** `cancelled`: ids of calls that are not wanted any more. */
export function workOfCalls(environment: Environment, findLive: FindLive, cancelled: ReadonlySet<string>): QueueWork {
  const place = asyncPlace(environment);
  const find = (): LiveDeployment | null => findLive(environment.app, environment.alias);

  function specOf(message: StoredMessage): FunctionSpec | undefined {
    return find()?.manifest.functions.find(({ name }) => name === bodyOf(message).function);
  }

  function along(
    message: StoredMessage,
    row: (ended: EndedCall) => Uint8Array,
    nowMs: number,
    effects: Effect[],
  ): Along {
    const { function: name } = bodyOf(message);
    const ended = { function: name, createdAtMs: message.sentAtMs, endedAtMs: nowMs, attempts: message.attempts + 1 };
    const writes: Write[] = [
      { kind: "set", key: callKey(place, message.id), value: row(ended), expiresAtMs: nowMs + limits.callResultMs },
    ];
    // One that was cancelled in the meantime stays so; it comes again, and goes.
    const checks: Check[] = [{ kind: "absent", key: cancelKey(place, message.id) }];
    return { checks, writes, effects };
  }

  return {
    trigger: "async",
    options,
    target([message]) {
      if (message === undefined || cancelled.has(message.id)) return "gone";
      const live = find();
      if (live === null) return null;
      const functionNumber = live.manifest.functions.findIndex(({ name }) => name === bodyOf(message).function);
      return functionNumber === -1 ? "gone" : { live, functionNumber };
    },
    isLive: () => find() !== null,
    payload: (_spec, [message]) => (message === undefined ? null : bodyOf(message).input),
    subject: ([message]) => message?.id ?? "",
    retryOf(message) {
      const { retry } = bodyOf(message);
      if (retry === "none") return { ...options.retry, attempts: 1 };
      if (retry === "lambda" || (retry === undefined && specOf(message)?.style === "lambda")) return lambdaRetry;
      return { ...options.retry, attempts: limits.callAttempts, ...retry };
    },
    maxAgeMsOf: (message) => bodyOf(message).maxAgeMs ?? limits.callAgeMs,
    alongAcked(message, value, nowMs) {
      if (cancelled.has(message.id)) return forgotten(message);
      const effects = destinationEffects(message, "Success", { value }, nowMs);
      return along(message, (ended) => succeededRow(ended, value), nowMs, effects);
    },
    alongDead(message, error, nowMs) {
      if (cancelled.has(message.id)) return forgotten(message);
      const condition = error.code === "MESSAGE_EXPIRED" ? "EventAgeExceeded" : "RetriesExhausted";
      const effects = destinationEffects(message, condition, { error }, nowMs);
      return along(message, (ended) => failedRow(ended, error), nowMs, effects);
    },
  };

  /** Its row says already that it was cancelled; the mark goes with the message, and nothing that its handler wrote counts. */
  function forgotten({ id }: StoredMessage): Along {
    return { checks: [], writes: [{ kind: "delete", key: cancelKey(place, id) }], effects: [], isUnwanted: true };
  }

  function destinationEffects(
    message: StoredMessage,
    condition: "Success" | "RetriesExhausted" | "EventAgeExceeded",
    end: { readonly value: unknown } | { readonly error: OutcomeError },
    nowMs: number,
  ): Effect[] {
    const { onSuccess, onFailure } = bodyOf(message);
    const destination = condition === "Success" ? onSuccess : onFailure;
    if (destination === undefined) return [];
    const record = fitting(destinationRecord(environment, message, condition, end, nowMs));
    if ("queue" in destination) {
      return [{ resource: "queue", name: destination.queue, method: "send", args: { body: record } }];
    }
    // It has no destinations of its own, so no chain comes of it.
    return [{ resource: "async", name: destination.function, method: "start", args: { input: record } }];
  }
}

function bodyOf({ body }: StoredMessage): CallBody {
  return body as CallBody;
}

/** The shape of Lambda's records for destinations, so that what reads those reads these. */
function destinationRecord(
  { app, alias }: Environment,
  message: StoredMessage,
  condition: string,
  end: { readonly value: unknown } | { readonly error: OutcomeError },
  nowMs: number,
): Record<string, unknown> {
  const { function: name, input } = bodyOf(message);
  const isOk = "value" in end;
  return {
    version: "1.0",
    timestamp: new Date(nowMs).toISOString(),
    requestContext: {
      requestId: message.id,
      functionArn: `arn:aws:lambda:local:000000000000:function:${app}-${name}:${alias}`,
      condition,
      approximateInvokeCount: message.attempts + 1,
    },
    requestPayload: input,
    responseContext: { statusCode: 200, executedVersion: alias, ...(isOk ? {} : { functionError: "Unhandled" }) },
    responsePayload: isOk
      ? end.value
      : { errorMessage: end.error.message, errorType: end.error.type, stackTrace: end.error.stack.split("\n") },
  };
}

/** Input and answer together may be more than a message may have. */
function fitting(record: Record<string, unknown>): Record<string, unknown> {
  const roomBytes = limits.messageBytes - 4096;
  if (Buffer.byteLength(JSON.stringify(record)) <= roomBytes) return record;
  const { requestPayload: _, ...rest } = record;
  if (Buffer.byteLength(JSON.stringify(rest)) <= roomBytes) return rest;
  const { responsePayload: __, ...bare } = rest;
  return bare;
}

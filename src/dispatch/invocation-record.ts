/** The record of an invocation whose answer was gathered. */
import type { FunctionSpec, LiveDeployment } from "../contract/deployment.ts";
import type { AloftError } from "../contract/errors.ts";
import type { InvocationRecord } from "../contract/observing.ts";
import { outcomeOf } from "../contract/outcome.ts";
import type { GatheredExchange } from "./gathered-exchange.ts";

export interface RecordParts {
  readonly live: LiveDeployment;
  readonly spec: FunctionSpec;
  readonly trigger: InvocationRecord["trigger"];
  /** Epoch. */
  readonly startedAtMs: number;
  readonly exchange: GatheredExchange;
  readonly status: number;
  readonly error: AloftError | null;
  readonly attempt: number;
  readonly subject: string;
}

export function recordOf(parts: RecordParts): InvocationRecord {
  const { live, spec, trigger, startedAtMs, exchange, status, error, attempt, subject } = parts;
  return {
    id: exchange.invocationId,
    app: live.app,
    alias: live.alias,
    function: spec.name,
    deployment: live.deploymentId,
    trigger,
    startedAtMs,
    waitUs: exchange.waitUs,
    coldUs: exchange.coldUs,
    handlerUs: exchange.handlerUs,
    status,
    outcome: error === null ? "ok" : outcomeOf(error),
    attempt,
    memoryBytes: exchange.memoryBytes,
    errorCode: error === null ? "" : error.code,
    errorMessage: error === null ? "" : error.message.slice(0, 1000),
    subject,
  };
}

/** What is kept of a call, and what stands in its message. */
import type { AsyncCallJson, AsyncCallStatus, Destination } from "../../contract/async-calls.ts";
import type { RetryPolicy } from "../../contract/queue-options.ts";
import { limits } from "../../contract/limits.ts";
import type { OutcomeError } from "../../wire/effects.ts";

export type CallRow = Omit<AsyncCallJson, "id">;

/** The body of a call's message. */
export interface CallBody {
  readonly function: string;
  readonly input: unknown;
  readonly retry?: "lambda" | "none" | Partial<RetryPolicy>;
  readonly maxAgeMs?: number;
  readonly onSuccess?: Destination;
  readonly onFailure?: Destination;
}

export function encodeCallRow(row: CallRow): Uint8Array {
  return Buffer.from(JSON.stringify(row));
}

export function decodeCallRow(value: Uint8Array): CallRow {
  return JSON.parse(Buffer.from(value).toString()) as CallRow;
}

/** The row of a call that has ended; it is kept for limits.callResultMs. */
export interface EndedCall {
  readonly function: string;
  readonly createdAtMs: number;
  readonly endedAtMs: number;
  readonly attempts: number;
}

export function succeededRow(ended: EndedCall, result: unknown): Uint8Array {
  const text = JSON.stringify(result ?? null);
  const isDropped = Buffer.byteLength(text) > limits.callResultBytes;
  return encodeCallRow({
    ...endedRow(ended, "succeeded"),
    ...(isDropped ? { isResultDropped: true } : { result: result ?? null }),
  });
}

export function failedRow(ended: EndedCall, { type, message, code }: OutcomeError): Uint8Array {
  return encodeCallRow({
    ...endedRow(ended, "failed"),
    error: { type, message, ...(code === undefined ? {} : { code }) },
  });
}

function endedRow({ function: name, createdAtMs, endedAtMs, attempts }: EndedCall, status: AsyncCallStatus): CallRow {
  return { function: name, status, createdAtMs, endedAtMs, attempts };
}

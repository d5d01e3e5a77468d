/**
 * Ids of invocations, and the W3C trace context (https://www.w3.org/TR/trace-context/) that goes with them.
 *
 * An id is 32 hexadecimal digits: 12 of epoch milliseconds, 6 bits that count within the millisecond and stay at their
 * most, 74 random bits. So ids sort by time, those of one process up to 64 a millisecond in order, and nobody can guess one.
 */
import { randomFillSync } from "node:crypto";

export interface Ids {
  /** `nowMs`: epoch milliseconds; a clock that steps back does not take the ids with it. */
  invocationId(nowMs: number): string;
}

const poolBytes = 8192;
const randomDigits = 18;
const countMost = 63;

/** "00" to "ff". */
const hexBytes = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

export function createIds(startMs: number): Ids {
  const pool = Buffer.allocUnsafe(poolBytes);
  let digits = "";
  let at = 0;
  let lastMs = Math.floor(startMs);
  let prefix = hexTime(lastMs);
  let count = 0;

  /** Random bytes are drawn 8 KiB at a time and written out as text once: one id costs two joins and a slice of it. */
  function refill(): void {
    randomFillSync(pool);
    digits = pool.toString("hex");
    at = 0;
  }

  function invocationId(nowMs: number): string {
    if (nowMs >= lastMs + 1) {
      lastMs = Math.floor(nowMs);
      prefix = hexTime(lastMs);
      count = 0;
    }
    if (at + randomDigits + 1 > digits.length) refill();
    const lowBits = digits.charCodeAt(at) & 3;
    const id = prefix + (hexBytes[(count << 2) | lowBits] ?? "00") + digits.slice(at + 1, at + 1 + randomDigits);
    at += 1 + randomDigits;
    if (count < countMost) count += 1;
    return id;
  }

  return { invocationId };
}

/**
 * The `traceparent` to hand on for an invocation: the caller's trace with this invocation as its parent span, or a trace
 * of its own whose id is the invocation's. Sampled unless the caller said otherwise.
 */
export function traceparent(incoming: string | null, id: string): string {
  const spanId = id.slice(16);
  if (incoming === null || !isTraceparent(incoming)) return `00-${id}-${spanId}-01`;
  return `00-${incoming.slice(3, 35)}-${spanId}-${incoming.slice(53, 55)}`;
}

/** The 32 digits of the trace that an invocation belongs to. */
export function traceIdOf(incoming: string | null, id: string): string {
  return incoming !== null && isTraceparent(incoming) ? incoming.slice(3, 35) : id;
}

const traceparentShape = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$/;

/** Later versions may add parts at the end; ff is no version; ids of zeros are none. */
export function isTraceparent(text: string): boolean {
  const match = traceparentShape.exec(text);
  if (match === null || match[1] === "ff" || (match[1] === "00" && match[4] !== undefined)) return false;
  return !/^0+$/.test(match[2] ?? "") && !/^0+$/.test(match[3] ?? "");
}

function hexTime(ms: number): string {
  return ms.toString(16).padStart(12, "0");
}

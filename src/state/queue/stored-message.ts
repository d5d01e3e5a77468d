/** A message as it is kept: JSON with short names, for there may be millions. */

export interface StoredMessage {
  readonly id: string;
  readonly body: unknown;
  /** Store time at which it was sent first, epoch milliseconds. */
  readonly sentAtMs: number;
  /** Deliveries that count and have failed. */
  readonly attempts: number;
  readonly group?: string;
  readonly priority?: number;
  /** Of a message of a group: not before this store time. Others are moved to the lane of delayed messages instead. */
  readonly notBeforeMs?: number;
  /** Largest batch that it may be part of, after one that failed and is to wait. */
  readonly batchMost?: number;
  readonly dead?: DeadLetter;
}

/** Why and whence a message came to a dead-letter queue. */
export interface DeadLetter {
  readonly queue: string;
  readonly error: { readonly type: string; readonly message: string; readonly code?: string };
  readonly attempts: number;
  /** Of the message that it was. */
  readonly id: string;
  readonly sentAtMs: number;
  readonly atMs: number;
  readonly group?: string;
  readonly priority?: number;
}

interface Kept {
  readonly i: string;
  readonly b: unknown;
  readonly t: number;
  readonly a?: number;
  readonly g?: string;
  readonly p?: number;
  readonly n?: number;
  readonly m?: number;
  readonly d?: DeadLetter;
}

export function encodeMessage(message: StoredMessage): Uint8Array {
  const { id, body, sentAtMs, attempts, group, priority, notBeforeMs, batchMost, dead } = message;
  const kept: Kept = {
    i: id,
    b: body,
    t: sentAtMs,
    ...(attempts === 0 ? {} : { a: attempts }),
    ...(group === undefined ? {} : { g: group }),
    ...(priority === undefined ? {} : { p: priority }),
    ...(notBeforeMs === undefined ? {} : { n: notBeforeMs }),
    ...(batchMost === undefined ? {} : { m: batchMost }),
    ...(dead === undefined ? {} : { d: dead }),
  };
  return Buffer.from(JSON.stringify(kept));
}

export function decodeMessage(value: Uint8Array): StoredMessage {
  const kept = JSON.parse(Buffer.prototype.utf8Slice.call(value, 0, value.length)) as Kept;
  return {
    id: kept.i,
    body: kept.b,
    sentAtMs: kept.t,
    attempts: kept.a ?? 0,
    ...(kept.g === undefined ? {} : { group: kept.g }),
    ...(kept.p === undefined ? {} : { priority: kept.p }),
    ...(kept.n === undefined ? {} : { notBeforeMs: kept.n }),
    ...(kept.m === undefined ? {} : { batchMost: kept.m }),
    ...(kept.d === undefined ? {} : { dead: kept.d }),
  };
}

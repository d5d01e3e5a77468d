/**
 * A record as an item of a block. Behind the shared part (block.ts):
 *
 *   u16 alias | u16 errorCode | u16 status | u16 attempt | u8 trigger | u48 waitUs | u48 coldUs | u48 handlerUs
 *   | u48 memoryBytes | u16 bytes of subject | subject | errorMessage
 *
 * `RecordEncoder` runs once for every invocation. Names come from the same few string objects again and again, so each
 * is compared with the one before; equal pointers cost a few nanoseconds, a look-up in the map 10 to 20.
 */
import { limits } from "../contract/limits.ts";
import type { InvocationRecord } from "../contract/observing.ts";
import { at, type BlockReader, BlockWriter } from "./block.ts";

export const triggers = [
  "http",
  "invoke",
  "call",
  "queue",
  "stream",
  "cron",
  "blob",
  "async",
] as const satisfies InvocationRecord["trigger"][];
export const outcomes = [
  "ok",
  "error",
  "timeout",
  "cancelled",
  "rejected",
] as const satisfies InvocationRecord["outcome"][];

const own = at.own;
const field = {
  alias: own,
  errorCode: own + 2,
  status: own + 4,
  attempt: own + 6,
  trigger: own + 8,
  waitUs: own + 9,
  coldUs: own + 15,
  handlerUs: own + 21,
  memoryBytes: own + 27,
  subjectBytes: own + 33,
  text: own + 35,
} as const;

export class RecordEncoder {
  readonly block: BlockWriter;
  #app = "";
  #alias = "";
  #function = "";
  #deployment = "";
  #errorCode = "";
  #appRef = -1;
  #aliasRef = -1;
  #functionRef = -1;
  #deploymentRef = -1;
  #errorCodeRef = -1;

  constructor(buffer: ArrayBufferLike) {
    this.block = new BlockWriter(buffer);
  }

  begin(buffer: ArrayBufferLike): void {
    this.block.begin(buffer);
    this.#appRef = -1;
    this.#aliasRef = -1;
    this.#functionRef = -1;
    this.#deploymentRef = -1;
    this.#errorCodeRef = -1;
  }

  /** false when the block is full; nothing has been written then. */
  append(record: InvocationRecord): boolean {
    const block = this.block;
    const subject = cut(record.subject);
    const message = cut(record.errorMessage);
    if (!block.hasRoom(field.text + 3 * (subject.length + message.length))) return false;
    if (record.app !== this.#app || this.#appRef < 0) this.#appRef = block.ref((this.#app = record.app));
    if (record.alias !== this.#alias || this.#aliasRef < 0) this.#aliasRef = block.ref((this.#alias = record.alias));
    if (record.function !== this.#function || this.#functionRef < 0)
      this.#functionRef = block.ref((this.#function = record.function));
    if (record.deployment !== this.#deployment || this.#deploymentRef < 0)
      this.#deploymentRef = block.ref((this.#deployment = record.deployment));
    if (record.errorCode !== this.#errorCode || this.#errorCodeRef < 0)
      this.#errorCodeRef = block.ref((this.#errorCode = record.errorCode));

    const view = block.view;
    const start = block.offset; // only now: new names were written before the item
    block.id(start + at.id, record.id);
    view.setUint16(start + at.app, this.#appRef, true);
    view.setUint16(start + at.function, this.#functionRef, true);
    view.setUint16(start + at.deployment, this.#deploymentRef, true);
    view.setUint16(start + field.alias, this.#aliasRef, true);
    view.setUint16(start + field.errorCode, this.#errorCodeRef, true);
    view.setUint16(start + field.status, record.status, true);
    view.setUint16(start + field.attempt, Math.min(record.attempt, 0xffff), true);
    view.setUint8(start + field.trigger, triggerNumber(record.trigger));
    block.u48(start + field.waitUs, record.waitUs);
    block.u48(start + field.coldUs, record.coldUs);
    block.u48(start + field.handlerUs, record.handlerUs);
    block.u48(start + field.memoryBytes, record.memoryBytes);
    const subjectStart = start + field.text;
    const subjectEnd = block.text(subjectStart, subject, 3 * subject.length);
    view.setUint16(start + field.subjectBytes, subjectEnd - subjectStart, true);
    const end = block.text(subjectEnd, message, 3 * message.length);
    block.end(start, end, record.startedAtMs, outcomeNumber(record.outcome));
    return true;
  }
}

/** The record at the reader's present item. */
export function decodeRecord(reader: BlockReader): InvocationRecord {
  const { start, view, bytes } = reader;
  const subjectStart = start + field.text;
  const subjectEnd = subjectStart + view.getUint16(start + field.subjectBytes, true);
  return {
    id: reader.idHex(),
    app: reader.string(start + at.app),
    alias: reader.string(start + field.alias),
    function: reader.string(start + at.function),
    deployment: reader.string(start + at.deployment),
    trigger: triggers[view.getUint8(start + field.trigger)] ?? "http",
    startedAtMs: reader.atMs,
    waitUs: reader.u48(start + field.waitUs),
    coldUs: reader.u48(start + field.coldUs),
    handlerUs: reader.u48(start + field.handlerUs),
    status: view.getUint16(start + field.status, true),
    outcome: outcomes[reader.flag] ?? "error",
    attempt: view.getUint16(start + field.attempt, true),
    memoryBytes: reader.u48(start + field.memoryBytes),
    errorCode: reader.string(start + field.errorCode),
    errorMessage: bytes.toString("utf8", subjectEnd, reader.end),
    subject: bytes.toString("utf8", subjectStart, subjectEnd),
  };
}

function cut(text: string): string {
  return text.length > limits.recordTextChars ? text.slice(0, limits.recordTextChars) : text;
}

// Switches, because `indexOf` on an array of strings took three times as long.
function triggerNumber(trigger: InvocationRecord["trigger"]): number {
  switch (trigger) {
    case "http":
      return 0;
    case "invoke":
      return 1;
    case "call":
      return 2;
    case "queue":
      return 3;
    case "stream":
      return 4;
    case "cron":
      return 5;
    case "blob":
      return 6;
    case "async":
      return 7;
  }
}

export function outcomeNumber(outcome: InvocationRecord["outcome"]): number {
  switch (outcome) {
    case "ok":
      return 0;
    case "error":
      return 1;
    case "timeout":
      return 2;
    case "cancelled":
      return 3;
    case "rejected":
      return 4;
  }
}

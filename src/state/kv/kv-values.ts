/**
 * What a kv store keeps under a key. Eight bytes are a whole number, highest first: what the keyspace can add to without
 * reading it. Anything else begins with a mark:
 *
 *   1 JSON    2 bytes    3, 4 the same, with one more byte behind the mark where there would be eight in all
 */
import type { KvValue } from "../../wire/kv-shapes.ts";
import { invalidArg } from "../arguments.ts";

const jsonMark = 1;
const bytesMark = 2;
/** What turns a mark into that of its longer form. */
const longer = 2;
const integerBytes = 8;

/** Throws REQUEST_INVALID for what is no value. */
export function encodeKvValue(value: unknown): Uint8Array {
  if (typeof value === "object" && value !== null) {
    const { json, b64, big } = value as { json?: unknown; b64?: unknown; big?: unknown };
    if (typeof b64 === "string") return marked(bytesMark, Buffer.from(b64, "base64"));
    if (typeof big === "string" && /^-?\d{1,19}$/.test(big)) return encodeInteger(BigInt(big));
    // What counts is kept so that it can be counted on; -0 is none.
    if (typeof json === "number" && Number.isSafeInteger(json) && !Object.is(json, -0))
      return encodeInteger(BigInt(json));
    if (json !== undefined) return marked(jsonMark, Buffer.from(JSON.stringify(json)));
  }
  throw invalidArg("value", 'must be { "json": ... } or { "b64": "..." }');
}

export function decodeKvValue(stored: Uint8Array): KvValue {
  if (stored.length === integerBytes) {
    const integer = viewOf(stored).readBigInt64BE();
    const number = Number(integer);
    return Number.isSafeInteger(number) ? { json: number } : { big: String(integer) };
  }
  const mark = stored[0] ?? 0;
  const content = viewOf(stored).subarray(mark > longer ? 2 : 1);
  const isJson = mark === jsonMark || mark === jsonMark + longer;
  return isJson ? { json: JSON.parse(content.toString()) as unknown } : { b64: content.toString("base64") };
}

function encodeInteger(integer: bigint): Uint8Array {
  if (BigInt.asIntN(64, integer) !== integer) throw invalidArg("value", "is no integer of 64 bits");
  const bytes = Buffer.alloc(integerBytes);
  bytes.writeBigInt64BE(integer);
  return bytes;
}

function marked(mark: number, content: Buffer): Uint8Array {
  const isEight = content.length + 1 === integerBytes;
  return Buffer.concat([Uint8Array.from(isEight ? [mark + longer, 0] : [mark]), content]);
}

function viewOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

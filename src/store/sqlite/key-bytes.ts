import { limits } from "../../contract/limits.ts";
import type { KeyText } from "../key-text.ts";

/** For a parameter of a statement, which copies it at once. */
export function bufferOf(key: KeyText): Uint8Array {
  return Buffer.from(key, "latin1");
}

const lent = new ArrayBuffer(limits.keyBytes);
const views: Uint8Array[] = [];

/** As bufferOf, but of a key alone and in memory that the next call uses again: a read makes less garbage. */
export function lentBytes(key: KeyText): Uint8Array {
  const view = (views[key.length] ??= new Uint8Array(lent, 0, key.length));
  Buffer.prototype.latin1Write.call(view, key, 0, key.length);
  return view;
}

import type { KeyText } from "../key-text.ts";

/** For a parameter of a statement, which copies it at once. */
export function bufferOf(key: KeyText): Uint8Array {
  return Buffer.from(key, "latin1");
}

/**
 * The changes of a group of commits as bytes: a row of the log, and what the writer sends to the server's thread.
 *
 *   u32 CRC-32 of all that follows, f64 lowest version, then for each change:
 *   u8 flags (1 gone, 2 large, 4 expires), u16 bytes of the key, u32 version above the lowest,
 *   f64 expiry in ms if it expires, f64 id if large, else u32 bytes of the value if not gone, key, value
 */
import { crc32 } from "node:zlib";
import type { KeyText } from "../key-text.ts";
import type { Cell } from "./overlay.ts";

const headBytes = 12;
const changeBytesMax = 23;
const goneFlag = 1;
const largeFlag = 2;
const expiresFlag = 4;

export class ChangesEncoder {
  #buffer = Buffer.allocUnsafeSlow(64 * 1024);
  #at = headBytes;
  #lowest = 0;

  /** `lowest` is at most the version of any change to come. */
  begin(lowest: number): void {
    this.#at = headBytes;
    this.#lowest = lowest;
  }

  add(key: KeyText, { version, expiresAtMs, value, large }: Cell): void {
    const valueBytes = value === null ? 0 : value.length;
    this.#ensure(changeBytesMax + key.length + valueBytes);
    const buffer = this.#buffer;
    const isExpiring = expiresAtMs !== Infinity;
    const flags = (large === 0 ? (value === null ? goneFlag : 0) : largeFlag) | (isExpiring ? expiresFlag : 0);
    let at = this.#at;
    buffer[at] = flags;
    at = buffer.writeUInt16LE(key.length, at + 1);
    at = buffer.writeUInt32LE(version - this.#lowest, at);
    if (isExpiring) at = buffer.writeDoubleLE(expiresAtMs, at);
    if (large !== 0) at = buffer.writeDoubleLE(large, at);
    else if (value !== null) at = buffer.writeUInt32LE(valueBytes, at);
    at += buffer.write(key, at, "latin1");
    if (large === 0 && value !== null) {
      buffer.set(value, at);
      at += valueBytes;
    }
    this.#at = at;
  }

  /** In memory of its own, so that it can be given away. */
  finish(): Uint8Array<ArrayBuffer> {
    this.#buffer.writeDoubleLE(this.#lowest, 4);
    this.#buffer.writeUInt32LE(crc32(this.#buffer.subarray(4, this.#at)), 0);
    return new Uint8Array(this.#buffer.subarray(0, this.#at));
  }

  #ensure(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return;
    const next = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, this.#at + bytes));
    this.#buffer.copy(next, 0, 0, this.#at);
    this.#buffer = next;
  }
}

/** Values are views of `bytes`. Throws when the bytes are not what was encoded. */
export function decodeChanges(bytes: Uint8Array, visit: (key: KeyText, cell: Cell) => void): void {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const lowest = buffer.readDoubleLE(4);
  for (let at = headBytes; at < buffer.length;) {
    const flags = buffer[at] ?? 0;
    const keyBytes = buffer.readUInt16LE(at + 1);
    const version = lowest + buffer.readUInt32LE(at + 3);
    at += 7;
    let expiresAtMs = Infinity;
    if ((flags & expiresFlag) !== 0) {
      expiresAtMs = buffer.readDoubleLE(at);
      at += 8;
    }
    let large = 0;
    let valueBytes = 0;
    if ((flags & largeFlag) !== 0) {
      large = buffer.readDoubleLE(at);
      at += 8;
    } else if ((flags & goneFlag) === 0) {
      valueBytes = buffer.readUInt32LE(at);
      at += 4;
    }
    const key = buffer.toString("latin1", at, at + keyBytes);
    at += keyBytes;
    const value = (flags & (goneFlag | largeFlag)) === 0 ? bytes.subarray(at, at + valueBytes) : null;
    at += valueBytes;
    visit(key, { version, expiresAtMs, value, large });
  }
}

/** Whether the bytes are what was encoded, as far as 32 bits can tell. */
export function isIntact(bytes: Uint8Array): boolean {
  if (bytes.length < headBytes) return false;
  const found = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
  return found === crc32(bytes.subarray(4));
}

/**
 * Commits on their way from the server's thread to the writer, as bytes. One after the other:
 *
 *   u8 flags (1 once, 2 essential), u16 checks, u16 writes, the `once` key, then the checks and the writes
 *   check   u8 kind; 0 version: key, f64 version; 1 absent: key; 2 range: start, end, f64 count, f64 highest version
 *   write   u8 kind; 0 set: key, expiry, value; 1 delete: key; 2 delete-range: start, end; 3 add: key, i64; 4 append: prefix,
 *           expiry, value
 *   key     u16 bytes, then these        value   u32 bytes, then these        expiry   f64 ms, infinite for never
 */
import type { Check, Commit, Write } from "../../contract/keyspace.ts";
import type { KeyText } from "../key-text.ts";
import type { Order, OrderCheck, OrderWrite } from "../order.ts";

const onceFlag = 1;
const essentialFlag = 2;
/** Of a commit, a check or a write, without its keys and its value. */
const fixedBytesMax = 24;
const kinds = { version: 0, absent: 1, range: 2, set: 0, delete: 1, "delete-range": 2, add: 3, append: 4 } as const;

export class BatchEncoder {
  #buffer = Buffer.allocUnsafeSlow(128 * 1024);
  #at = 0;
  #count = 0;

  get bytes(): number {
    return this.#at;
  }

  get count(): number {
    return this.#count;
  }

  /** `contentBytes` is what measureCommit has said. */
  add(commit: Commit, contentBytes: number): void {
    const { checks, writes, once } = commit;
    this.#ensure(contentBytes + fixedBytesMax * (1 + checks.length + writes.length));
    const buffer = this.#buffer;
    buffer[this.#at++] = (once === undefined ? 0 : onceFlag) | (commit.isEssential === true ? essentialFlag : 0);
    this.#at = buffer.writeUInt16LE(checks.length, this.#at);
    this.#at = buffer.writeUInt16LE(writes.length, this.#at);
    if (once !== undefined) this.#key(once);
    for (const check of checks) this.#check(check);
    for (const write of writes) this.#write(write);
    this.#count++;
  }

  /** What was added since the last time, in memory of its own. */
  take(): ArrayBuffer {
    const bytes = this.#buffer.buffer.slice(0, this.#at);
    this.#at = 0;
    this.#count = 0;
    return bytes;
  }

  #check(check: Check): void {
    this.#buffer[this.#at++] = kinds[check.kind];
    switch (check.kind) {
      case "version":
        this.#key(check.key);
        this.#double(check.version);
        return;
      case "absent":
        this.#key(check.key);
        return;
      case "range":
        this.#key(check.start);
        this.#key(check.end);
        this.#double(check.count);
        this.#double(check.highestVersion);
    }
  }

  #write(write: Write): void {
    this.#buffer[this.#at++] = kinds[write.kind];
    switch (write.kind) {
      case "set":
      case "append":
        this.#key(write.kind === "set" ? write.key : write.prefix);
        this.#double(write.expiresAtMs ?? Infinity);
        this.#at = this.#buffer.writeUInt32LE(write.value.length, this.#at);
        this.#buffer.set(write.value, this.#at);
        this.#at += write.value.length;
        return;
      case "delete":
        this.#key(write.key);
        return;
      case "delete-range":
        this.#key(write.start);
        this.#key(write.end);
        return;
      case "add":
        this.#key(write.key);
        this.#at = this.#buffer.writeBigInt64LE(BigInt.asIntN(64, write.amount), this.#at);
    }
  }

  #key(key: Uint8Array): void {
    this.#at = this.#buffer.writeUInt16LE(key.length, this.#at);
    this.#buffer.set(key, this.#at);
    this.#at += key.length;
  }

  #double(value: number): void {
    this.#at = this.#buffer.writeDoubleLE(value, this.#at);
  }

  #ensure(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return;
    const next = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, this.#at + bytes));
    this.#buffer.copy(next, 0, 0, this.#at);
    this.#buffer = next;
  }
}

export class BatchDecoder {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(bytes: ArrayBuffer) {
    this.#buffer = Buffer.from(bytes);
  }

  /** null after the last. Values are views of the bytes. */
  next(): Order | null {
    if (this.#at >= this.#buffer.length) return null;
    const flags = this.#byte();
    const checkCount = this.#short();
    const writeCount = this.#short();
    const once = (flags & onceFlag) === 0 ? null : this.#key();
    const checks: OrderCheck[] = [];
    for (let i = 0; i < checkCount; i++) checks.push(this.#check());
    const writes: OrderWrite[] = [];
    for (let i = 0; i < writeCount; i++) writes.push(this.#write());
    return { once, isEssential: (flags & essentialFlag) !== 0, checks, writes };
  }

  #check(): OrderCheck {
    switch (this.#byte()) {
      case kinds.version:
        return { kind: "version", key: this.#key(), version: this.#double() };
      case kinds.absent:
        return { kind: "absent", key: this.#key() };
      default:
        return {
          kind: "range",
          start: this.#key(),
          end: this.#key(),
          count: this.#double(),
          highestVersion: this.#double(),
        };
    }
  }

  #write(): OrderWrite {
    switch (this.#byte()) {
      case kinds.set:
        return { kind: "set", key: this.#key(), expiresAtMs: this.#double(), value: this.#value() };
      case kinds.delete:
        return { kind: "delete", key: this.#key() };
      case kinds["delete-range"]:
        return { kind: "delete-range", start: this.#key(), end: this.#key() };
      case kinds.add: {
        const key = this.#key();
        this.#at += 8;
        return { kind: "add", key, amount: this.#buffer.readBigInt64LE(this.#at - 8) };
      }
      default:
        return { kind: "append", prefix: this.#key(), expiresAtMs: this.#double(), value: this.#value() };
    }
  }

  #byte(): number {
    return this.#buffer[this.#at++] ?? 0;
  }

  #short(): number {
    this.#at += 2;
    return this.#buffer.readUInt16LE(this.#at - 2);
  }

  #double(): number {
    this.#at += 8;
    return this.#buffer.readDoubleLE(this.#at - 8);
  }

  #key(): KeyText {
    const bytes = this.#short();
    this.#at += bytes;
    return this.#buffer.toString("latin1", this.#at - bytes, this.#at);
  }

  #value(): Uint8Array {
    const bytes = this.#buffer.readUInt32LE(this.#at);
    this.#at += 4 + bytes;
    return this.#buffer.subarray(this.#at - bytes, this.#at);
  }
}

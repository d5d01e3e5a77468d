/**
 * The bytes of a block: many records, or many log lines, in the order in which they were accepted. The main thread
 * writes one with `BlockWriter`, the worker stores it as it is, and either side reads it with `BlockReader`.
 *
 * A block is one byte of version and then entries, numbers little endian, nothing aligned:
 *
 *   string   tag 0 | u16 bytes | utf-8            gets the next number, from 0; stands before the first item that names it
 *   item     tag 1 | u16 bytes of the whole entry | u48 atMs | 16 bytes id | u16 app | u16 function | u8 flag
 *            | u16 deployment | what the kind adds (record-codec.ts, log-codec.ts)
 *
 * `flag` is the outcome of a record or the level of a line. All filters look only at the part that both kinds share.
 */
import { limits } from "../contract/limits.ts";

const version = 1;
export const tagString = 0;
export const tagItem = 1;

/** Where the fields that both kinds share stand in an item's entry. */
export const at = { length: 1, atMs: 3, id: 9, app: 25, function: 27, flag: 29, deployment: 30, own: 32 } as const;

/** Room kept for the names an item may bring: six of at most 256 characters, three bytes each at the worst. */
const namesReserveBytes = 6 * (3 * limits.observeNameChars + 3);

/**
 * Buffer's own writers, behind `write()`: 30 ns instead of 58 for an id, 50 to 70 instead of 85 to 100 for a short text.
 * On every Buffer, not in its published types.
 */
interface TextBuffer extends Buffer {
  latin1Write(text: string, offset: number, bytesMax: number): number;
  utf8Write(text: string, offset: number, bytesMax: number): number;
}

const idText = textBuffer(new ArrayBuffer(32));
const idWords = new Uint32Array(idText.buffer, idText.byteOffset, 8);

export class BlockWriter {
  // Public and plain, for the codecs write through them on the hot path.
  bytes: TextBuffer;
  view: DataView;
  /** Where the next entry begins. */
  offset = 1;
  count = 0;
  firstMs = Infinity;
  lastMs = -Infinity;
  /** A bit for each flag that occurs. */
  mask = 0;
  readonly #refs = new Map<string, number>();

  constructor(buffer: ArrayBufferLike) {
    this.bytes = textBuffer(buffer);
    this.view = new DataView(buffer);
    this.begin(buffer);
  }

  /** Starts an empty block in this memory. */
  begin(buffer: ArrayBufferLike): void {
    if (buffer !== this.view.buffer) {
      this.bytes = textBuffer(buffer);
      this.view = new DataView(buffer);
    }
    this.bytes[0] = version;
    this.offset = 1;
    this.count = 0;
    this.firstMs = Infinity;
    this.lastMs = -Infinity;
    this.mask = 0;
    this.#refs.clear();
  }

  hasRoom(itemBytesMax: number): boolean {
    return this.offset + itemBytesMax + namesReserveBytes <= this.bytes.length;
  }

  /** The number of a string, which is written when it is new. The caller has made sure of the room. */
  ref(text: string): number {
    const known = this.#refs.get(text);
    if (known !== undefined) return known;
    const number = this.#refs.size;
    this.#refs.set(text, number);
    const start = this.offset;
    const kept = text.length > limits.observeNameChars ? text.slice(0, limits.observeNameChars) : text;
    const bytes = this.bytes.utf8Write(kept, start + 3, 3 * limits.observeNameChars);
    this.view.setUint8(start, tagString);
    this.view.setUint16(start + 1, bytes, true);
    this.offset = start + 3 + bytes;
    return number;
  }

  /** Writes text and returns the offset behind it. */
  text(offset: number, text: string, bytesMax: number): number {
    return text === "" ? offset : offset + this.bytes.utf8Write(text, offset, bytesMax);
  }

  /** An integer of 48 bits; what is below, above or not a number becomes the nearest that is not. */
  u48(offset: number, value: number): void {
    if (value >= 0 && value < 0x1_0000_0000) {
      this.view.setUint32(offset, value, true);
      this.view.setUint16(offset + 4, 0, true);
      return;
    }
    const whole = value >= 0 ? Math.min(value, 0xffff_ffff_ffff) : 0;
    this.view.setUint32(offset, whole, true);
    this.view.setUint16(offset + 4, whole / 0x1_0000_0000, true);
  }

  /**
   * 32 hexadecimal digits as 16 bytes; zeros when there are not 32. Four digits at a time: a loop over `charCodeAt` and
   * a hexadecimal write both took 115-125 ns, this takes about 45.
   */
  id(offset: number, id: string): void {
    if (id.length !== 32) {
      this.bytes.fill(0, offset, offset + 16);
      return;
    }
    idText.latin1Write(id, 0, 32);
    for (let i = 0; i < 4; i++) {
      this.view.setUint32(
        offset + 4 * i,
        fourDigits(idWords[2 * i] ?? 0) | (fourDigits(idWords[2 * i + 1] ?? 0) << 16),
        true,
      );
    }
  }

  /** Ends the item that began at `start`. */
  end(start: number, end: number, atMs: number, flag: number): void {
    this.view.setUint8(start, tagItem);
    this.view.setUint16(start + at.length, end - start, true);
    this.view.setUint8(start + at.flag, flag);
    this.u48(start + at.atMs, atMs);
    this.offset = end;
    this.count++;
    this.mask |= 1 << flag;
    if (atMs < this.firstMs) this.firstMs = atMs;
    if (atMs > this.lastMs) this.lastMs = atMs;
  }
}

function textBuffer(buffer: ArrayBufferLike): TextBuffer {
  return Buffer.from(buffer) as unknown as TextBuffer;
}

/** Four digits, one in each byte of a little-endian word, as two bytes. */
function fourDigits(word: number): number {
  const digits = (word & 0x0f0f0f0f) + ((word >>> 6) & 0x01010101) * 9;
  const pairs = (digits << 4) | (digits >>> 8);
  return (pairs & 0xff) | ((pairs >>> 8) & 0xff00);
}

/** Walks a block. Throws a RangeError when the bytes are not one. */
export class BlockReader {
  readonly bytes: Buffer;
  readonly view: DataView;
  readonly strings: string[] = [];
  /** Where the present item's entry begins, and where it ends. */
  start = 0;
  #next = 1;

  constructor(block: Uint8Array) {
    this.bytes = Buffer.from(block.buffer, block.byteOffset, block.byteLength);
    this.view = new DataView(block.buffer, block.byteOffset, block.byteLength);
    if (this.view.getUint8(0) !== version) throw new RangeError("not a block of this version");
  }

  get end(): number {
    return this.#next;
  }

  /** Moves to the next item; false when there is none. Strings on the way are learned. */
  next(): boolean {
    while (this.#next < this.bytes.length) {
      const start = this.#next;
      const tag = this.view.getUint8(start);
      const size = this.view.getUint16(start + 1, true);
      if (tag === tagItem) {
        if (size < at.own || start + size > this.bytes.length) throw new RangeError("an item leaves its block");
        this.start = start;
        this.#next = start + size;
        return true;
      }
      if (tag !== tagString || start + 3 + size > this.bytes.length) throw new RangeError("an entry is damaged");
      this.strings.push(this.bytes.toString("utf8", start + 3, start + 3 + size));
      this.#next = start + 3 + size;
    }
    return false;
  }

  /** Goes back to an item that was passed before. */
  seek(start: number): void {
    this.start = start;
    this.#next = start + this.view.getUint16(start + at.length, true);
  }

  get atMs(): number {
    return this.u48(this.start + at.atMs);
  }

  get flag(): number {
    return this.view.getUint8(this.start + at.flag);
  }

  u48(offset: number): number {
    return this.view.getUint32(offset, true) + this.view.getUint16(offset + 4, true) * 0x1_0000_0000;
  }

  string(offset: number): string {
    return this.strings[this.view.getUint16(offset, true)] ?? "";
  }

  idHex(): string {
    return this.bytes.toString("hex", this.start + at.id, this.start + at.id + 16);
  }
}

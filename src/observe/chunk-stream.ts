/**
 * One kind of items on its way to the writer: encoded into the present chunk, which is handed over when it is full or
 * observeChunkAgeMs old. Chunks are slots of shared memory, made when first needed and used again when the writer has
 * marked them (writer-messages.ts); nothing is sent back. When every slot is away, items are dropped and counted.
 */
import { limits } from "../contract/limits.ts";
import type { Encoder } from "./block-kind.ts";
import type { BlockHead } from "./block-store.ts";
import { slotState } from "./writer-messages.ts";

export interface Parcel {
  readonly chunk: SharedArrayBuffer;
  readonly bytes: number;
  readonly head: BlockHead;
  readonly states: Int32Array;
  readonly slot: number;
}

export interface ChunkStreamOptions<Item> {
  readonly open: (buffer: ArrayBufferLike) => Encoder<Item>;
  /** false: it could not be sent, and the chunk is still ours. */
  readonly send: (parcel: Parcel) => boolean;
  readonly inFlightBytesMax: number;
}

/** Slots whose memory is kept when nothing is away; what a burst took beyond it goes back. */
const keptSlots = 2;

export class ChunkStream<Item> {
  readonly #options: ChunkStreamOptions<Item>;
  readonly #chunks: (SharedArrayBuffer | null)[];
  /** Items in each slot that is away. */
  readonly #counts: number[];
  #states: Int32Array;
  readonly #encoder: Encoder<Item>;
  /** The slot that is being filled; null while every one is away. */
  #slot: number | null = 0;
  #timer: NodeJS.Timeout | null = null;
  #isClosed = false;

  accepted = 0;
  written = 0;
  dropped = 0;

  constructor(options: ChunkStreamOptions<Item>) {
    this.#options = options;
    // One more than may be away: the one that is being filled.
    const slots = Math.max(1, Math.floor(options.inFlightBytesMax / limits.observeChunkBytes)) + 1;
    const first = new SharedArrayBuffer(limits.observeChunkBytes);
    this.#chunks = Array.from({ length: slots }, (_, slot) => (slot === 0 ? first : null));
    this.#counts = Array.from({ length: slots }, () => 0);
    this.#states = newStates(slots);
    this.#encoder = options.open(first);
  }

  push(item: Item): void {
    this.accepted++;
    if (this.#slot === null || !this.#encoder.append(item)) {
      this.ship();
      if (this.#slot === null) this.#takeSlot();
      if (this.#slot === null || !this.#encoder.append(item)) {
        this.dropped++;
        return;
      }
    }
    if (this.#timer === null) this.#arm();
  }

  /** Hands over what there is. */
  ship(): void {
    const slot = this.#slot;
    const chunk = slot === null ? null : this.#chunks[slot];
    const { offset, count, firstMs, lastMs, mask } = this.#encoder.block;
    if (slot === null || !chunk || count === 0) return;
    const states = this.#states;
    Atomics.store(states, slot, slotState.away);
    if (!this.#options.send({ chunk, bytes: offset, head: { firstMs, lastMs, count, mask }, states, slot })) {
      Atomics.store(states, slot, slotState.ours);
      return;
    }
    this.#counts[slot] = count;
    this.#slot = null;
    this.#takeSlot();
  }

  /** Takes back what the writer is done with. */
  collect(): void {
    for (let slot = 0; slot < this.#counts.length; slot++) {
      const state = Atomics.load(this.#states, slot);
      if (state !== slotState.stored && state !== slotState.refused) continue;
      Atomics.store(this.#states, slot, slotState.ours);
      if (state === slotState.stored) this.written += this.#counts[slot] ?? 0;
      else this.dropped += this.#counts[slot] ?? 0;
      if (slot >= keptSlots) this.#chunks[slot] = null;
    }
  }

  /** The writer died: what is away will not be answered any more. */
  onLost(): void {
    this.collect();
    for (let slot = 0; slot < this.#counts.length; slot++)
      if (Atomics.load(this.#states, slot) === slotState.away) this.dropped += this.#counts[slot] ?? 0;
    const slot = this.#slot;
    this.#states = newStates(this.#counts.length);
    if (slot === null) this.#takeSlot();
  }

  /** What was not handed over is dropped, as is all that comes later. */
  close(): void {
    this.#isClosed = true;
    this.collect();
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#slot !== null) this.dropped += this.#encoder.block.count;
    this.#slot = null;
  }

  #takeSlot(): void {
    if (this.#isClosed) return;
    this.collect();
    const slot = this.#states.indexOf(slotState.ours);
    if (slot < 0) return;
    const chunk = (this.#chunks[slot] ??= new SharedArrayBuffer(limits.observeChunkBytes));
    this.#encoder.begin(chunk);
    this.#slot = slot;
  }

  /** One timer for many chunks: it runs only while something waits, so an idle server is not woken. */
  #arm(): void {
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.ship();
      if (this.#slot !== null && this.#encoder.block.count > 0) this.#arm(); // no writer at present
    }, limits.observeChunkAgeMs);
    this.#timer.unref();
  }
}

function newStates(slots: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(4 * slots));
}

/**
 * The writer: a worker thread that holds the files of records and logs, stores the chunks it is sent, answers queries and
 * makes room. It sleeps in its message port; the only work it gives itself is making room after a write, in slices
 * between which messages are served. Time comes with the messages.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import { limits } from "../contract/limits.ts";
import { type BlockKind, logKind, recordKind, type Selection } from "./block-kind.ts";
import { BlockStore } from "./block-store.ts";
import { searchNewest } from "./search.ts";
import { type FromWriter, type KindName, slotState, type ToWriter, type WriterSettings } from "./writer-messages.ts";

/** Room is looked for after so many writes, or when the last look is this old. */
const retainWrites = 16;
const retainMs = 10_000;

class Shelf<Item, Filter> {
  readonly #kind: BlockKind<Item, Filter>;
  readonly #store: BlockStore;
  #writesSinceRetain = 0;
  #retainedAtMs: number;
  #isRetaining = false;
  #nowMs: number;

  constructor(kind: BlockKind<Item, Filter>, settings: WriterSettings) {
    this.#kind = kind;
    this.#nowMs = settings.nowMs;
    this.#retainedAtMs = settings.nowMs;
    this.#store = new BlockStore({
      path: join(settings.folder, `${kind.name}.db`),
      retention: settings.retention[kind.name],
      onWarning: (text) => send({ kind: "warning", text }),
    });
    this.#retain();
  }

  write(message: Extract<ToWriter, { kind: "write" }>): boolean {
    this.#nowMs = message.nowMs;
    const isStored = this.#store.write(message.head, new Uint8Array(message.chunk, 0, message.bytes), message.nowMs);
    const isDue = ++this.#writesSinceRetain >= retainWrites || Math.abs(message.nowMs - this.#retainedAtMs) >= retainMs;
    if (isDue && !this.#isRetaining) this.#retain();
    return isStored;
  }

  search(selection: Selection, nowMs: number): Uint8Array<ArrayBuffer>[] {
    try {
      const items = searchNewest(this.#store.candidates(selection, nowMs), selection, {
        decode: (reader) => this.#kind.decode(reader),
        bytesMax: limits.observeAnswerBytes,
        onDamaged: (error) =>
          send({
            kind: "warning",
            text: `a block of ${this.#kind.name} is damaged and was left out: ${String(error)}`,
          }),
      });
      return encodeAll(this.#kind, items);
    } catch (error) {
      this.#store.reportFailure(error, nowMs);
      return [];
    }
  }

  close(): void {
    this.#store.close();
  }

  #retain(): void {
    this.#writesSinceRetain = 0;
    this.#retainedAtMs = this.#nowMs;
    this.#isRetaining = this.#store.retain(this.#nowMs);
    if (this.#isRetaining) setImmediate(() => this.#retain());
  }
}

const port = parentPort;
if (port === null) throw new Error("the writer runs in a worker thread only");
const settings = parseSettings(workerData);
mkdirSync(settings.folder, { recursive: true });
const shelves = { records: new Shelf(recordKind, settings), logs: new Shelf(logKind, settings) } satisfies Record<
  KindName,
  unknown
>;
port.on("message", receive);
send({ kind: "ready" });

function receive(message: ToWriter): void {
  switch (message.kind) {
    case "write": {
      const isStored = shelves[message.of].write(message);
      Atomics.store(message.states, message.slot, isStored ? slotState.stored : slotState.refused);
      return;
    }
    case "search": {
      const blocks = shelves[message.of].search(message.selection, message.nowMs);
      send(
        { kind: "answer", request: message.request, blocks },
        blocks.map((block) => block.buffer),
      );
      return;
    }
    case "flush":
      send({ kind: "answer", request: message.request, blocks: [] });
      return;
    case "close":
      shelves.records.close();
      shelves.logs.close();
      send({ kind: "answer", request: message.request, blocks: [] });
      port?.close();
  }
}

function send(message: FromWriter, transfer: ArrayBuffer[] = []): void {
  port?.postMessage(message, transfer);
}

/** In blocks again: the main thread reads them four times as fast as it would take over as many objects. */
function encodeAll<Item>(
  kind: Pick<BlockKind<Item, never>, "open">,
  items: readonly Item[],
): Uint8Array<ArrayBuffer>[] {
  const blocks: Uint8Array<ArrayBuffer>[] = [];
  const chunk = new ArrayBuffer(limits.observeChunkBytes);
  const encoder = kind.open(chunk);
  for (const item of items) {
    if (encoder.append(item)) continue;
    blocks.push(new Uint8Array(chunk.slice(0, encoder.block.offset)));
    encoder.begin(chunk);
    encoder.append(item);
  }
  if (encoder.block.count > 0) blocks.push(new Uint8Array(chunk.slice(0, encoder.block.offset)));
  return blocks;
}

/** The main thread is the only one that starts this file, with settings of this type. */
function parseSettings(data: WriterSettings): WriterSettings {
  return data;
}

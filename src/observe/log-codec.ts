/** A log line as an item of a block. Behind the shared part (block.ts): u8 stream | message. */
import { limits } from "../contract/limits.ts";
import type { LogLevel, LogLine } from "../contract/observing.ts";
import { at, type BlockReader, BlockWriter } from "./block.ts";

/** From the least to the gravest. */
export const levels = ["debug", "info", "warn", "error"] as const satisfies LogLevel[];
const streams = ["stdout", "stderr", "console", "platform"] as const satisfies LogLine["stream"][];

const field = { stream: at.own, message: at.own + 1 } as const;
const noId = "0".repeat(32);

export class LogEncoder {
  readonly block: BlockWriter;

  constructor(buffer: ArrayBufferLike) {
    this.block = new BlockWriter(buffer);
  }

  begin(buffer: ArrayBufferLike): void {
    this.block.begin(buffer);
  }

  /** false when the block is full; nothing has been written then. */
  append(line: LogLine): boolean {
    const block = this.block;
    const bytesMax = Math.min(3 * line.message.length, limits.logLineBytes);
    if (!block.hasRoom(field.message + bytesMax)) return false;
    const app = block.ref(line.app);
    const name = block.ref(line.function);
    const deployment = block.ref(line.deployment);
    const start = block.offset; // only now: new names were written before the item
    block.id(start + at.id, line.invocation);
    block.view.setUint16(start + at.app, app, true);
    block.view.setUint16(start + at.function, name, true);
    block.view.setUint16(start + at.deployment, deployment, true);
    block.view.setUint8(start + field.stream, streams.indexOf(line.stream));
    // The limit cuts between characters: utf8Write never writes a part of one.
    const end = block.text(start + field.message, line.message, bytesMax);
    block.end(start, end, line.atMs, levels.indexOf(line.level));
    return true;
  }
}

/** The line at the reader's present item. */
export function decodeLog(reader: BlockReader): LogLine {
  const { start, view, bytes } = reader;
  const invocation = reader.idHex();
  return {
    atMs: reader.atMs,
    app: reader.string(start + at.app),
    function: reader.string(start + at.function),
    deployment: reader.string(start + at.deployment),
    invocation: invocation === noId ? "" : invocation,
    level: levels[reader.flag] ?? "info",
    stream: streams[view.getUint8(start + field.stream)] ?? "console",
    message: bytes.toString("utf8", start + field.message, reader.end),
  };
}

/**
 * The guest's end of the frame socket: descriptor 3, inherited. Reads through one buffer that is used again and again,
 * and writes synchronously as long as the kernel takes the bytes, which saves a request object for each write and lets
 * `begun` be on its way before the first handler runs.
 */
import { writeSync } from "node:fs";
import { Socket } from "node:net";
import { FrameReader, type OnFrame } from "../../src/wire/reader.ts";
import { FrameWriter } from "../../src/wire/writer.ts";
import { exitNow } from "./exit.ts";

const descriptor = 3;
const readBufferBytes = 64 * 1024;

export interface Connection {
  readonly writer: FrameWriter;
  /** false while bytes wait for the kernel: what is written now would leave later than what follows. */
  isClear(): boolean;
  /** Calls back once as soon as `isClear()` holds again. */
  onceClear(callback: () => void): void;
  /** While muted, what is written is thrown away: for the rehearsal before the first real frame. */
  mute(isMuted: boolean): void;
  destroy(): void;
}

/** `onRead` is called after all frames of one read have been delivered; `onEnd` when the node is gone. */
export function openConnection(onFrame: OnFrame, onRead: () => void, onEnd: () => void): Connection {
  const reader = new FrameReader(onFrame);
  let pendingWrites = 0;
  let waiting: (() => void)[] = [];
  let isMuted = false;

  const socket = new Socket({
    fd: descriptor,
    readable: true,
    writable: true,
    onread: {
      buffer: Buffer.allocUnsafeSlow(readBufferBytes),
      callback(bytesRead: number, buffer: Uint8Array): boolean {
        reader.push((buffer as Buffer).subarray(0, bytesRead));
        onRead();
        return true;
      },
    },
  });
  socket.on("error", onEnd);
  socket.on("end", onEnd);
  socket.on("close", onEnd);

  function written(sent: () => void): void {
    pendingWrites -= 1;
    sent();
    if (pendingWrites > 0) return;
    const callbacks = waiting;
    waiting = [];
    for (const callback of callbacks) callback();
  }

  function send(bytes: Buffer, sent: () => void): void {
    if (isMuted) {
      sent();
      return;
    }
    let taken = 0;
    if (pendingWrites === 0) {
      taken = writeNow(bytes);
      if (taken === bytes.length) {
        sent();
        return;
      }
    }
    pendingWrites += 1;
    socket.write(taken === 0 ? bytes : bytes.subarray(taken), () => written(sent));
  }

  return {
    writer: new FrameWriter(send),
    isClear: () => pendingWrites === 0,
    onceClear(callback) {
      if (pendingWrites === 0) callback();
      else waiting.push(callback);
    },
    mute(on) {
      isMuted = on;
    },
    destroy: () => socket.destroy(),
  };
}

/** How many bytes the kernel took at once. */
function writeNow(bytes: Buffer): number {
  try {
    return writeSync(descriptor, bytes);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EAGAIN") return 0;
    // The node is gone: nobody is left to answer to.
    exitNow(0);
  }
}

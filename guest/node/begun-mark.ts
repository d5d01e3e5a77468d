/**
 * Tells the node which handlers are about to be called without waking it: four bytes of a file that both have open, which
 * the node reads when this process has died. A frame on the socket would say the same, and cost both sides a turn.
 */
import { fstatSync, writeSync } from "node:fs";

const descriptor = 4;
const markBytes = 4;

/** Writes the highest id of the invocations that begin now. false: it could not be written, so a frame must say it. */
export type MarkBegun = (stream: number) => boolean;

/** null when the node gave no such file. */
export function openBegunMark(): MarkBegun | null {
  try {
    const { size } = fstatSync(descriptor);
    if (size !== markBytes) return null;
  } catch {
    return null;
  }
  const bytes = Buffer.alloc(markBytes);
  return (stream) => {
    bytes.writeUInt32LE(stream);
    try {
      return writeSync(descriptor, bytes, 0, markBytes, 0) === markBytes;
    } catch {
      return false;
    }
  };
}

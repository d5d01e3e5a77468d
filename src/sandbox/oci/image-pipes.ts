/** The server's ends of the named pipes that the program of an image writes to (`image-root.ts`). */
import type { ChildProcess } from "node:child_process";
import { closeSync, constants, openSync } from "node:fs";
import { Socket } from "node:net";
import { join } from "node:path";
import { PassThrough, type Readable } from "node:stream";

export interface ImagePipes {
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** All that was written has been taken; comes soon after the last process has ended. */
  readonly drained: Promise<void>;
}

/** Opens them as soon as they are there, and then lets the launcher go on. */
export function openImagePipes(child: ChildProcess, folder: string): ImagePipes {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  let isOpen = false;
  // What the launcher says before the pipes are its output: why they could not be made.
  child.stderr?.on("data", (chunk: Buffer) => stderr.write(chunk));
  child.stdin?.on("error", () => {});
  const drained = new Promise<void>((resolve) => {
    const endBoth = (): void => {
      stdout.end();
      stderr.end();
      resolve();
    };
    child.stdout?.once("data", () => {
      const [out, err] = ["out", "err"].map((name) => openPipe(join(folder, name)));
      if (out === null || out === undefined || err === null || err === undefined) {
        // The launcher finds its input at an end, and ends.
        child.stdin?.end();
        return;
      }
      isOpen = true;
      let open = 2;
      for (const [pipe, stream] of [
        [out, stdout],
        [err, stderr],
      ] as const) {
        pipe.once("error", () => pipe.destroy());
        pipe.once("close", () => {
          open -= 1;
          if (open === 0) endBoth();
        });
        pipe.pipe(stream, { end: false });
      }
      child.stdin?.end("go\n");
    });
    child.once("close", () => {
      if (isOpen) hangUp(folder);
      else endBoth();
    });
    child.once("error", () => {
      if (!isOpen) endBoth();
    });
  });
  return { stdout, stderr, drained };
}

/**
 * A pipe that nobody wrote to any more when it was opened for reading never says that it is at its end, until a writer has come
 * and gone.
 */
function hangUp(folder: string): void {
  for (const name of ["out", "err"]) {
    try {
      closeSync(openSync(join(folder, name), constants.O_WRONLY | constants.O_NONBLOCK));
    } catch {
      // Nobody reads it any more.
    }
  }
}

function openPipe(path: string): Socket | null {
  let descriptor: number;
  try {
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return null;
  }
  try {
    return new Socket({ fd: descriptor, readable: true, writable: false });
  } catch {
    closeSync(descriptor);
    return null;
  }
}

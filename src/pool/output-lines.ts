/**
 * What a program writes to descriptors 1 and 2 past the runtime's own capture: native code, children, V8's last words.
 *
 * Reading and cutting it is work of the node's thread, so a program that prints without end is read at a bounded rate: its
 * pipe fills, and it waits.
 */
import type { Readable } from "node:stream";
import { limits } from "../contract/limits.ts";
import type { SandboxProgram } from "../contract/sandbox.ts";

type OnLine = (stream: "stdout" | "stderr", message: string) => void;

const tailChars = 4096;
const pauseMs = 50;
const charsPerPause = (limits.outputBytesPerSecond * pauseMs) / 1000;

export class OutputLines {
  readonly #onLine: OnLine;
  readonly #rests = { stdout: "", stderr: "" };
  #stderrTail = "";

  constructor(sandbox: Pick<SandboxProgram, "stdout" | "stderr">, onLine: OnLine) {
    this.#onLine = onLine;
    this.#read(sandbox.stdout, "stdout");
    this.#read(sandbox.stderr, "stderr");
  }

  /** The last 4 KiB of descriptor 2, to tell why a process ended. */
  stderrTail(): string {
    return this.#stderrTail;
  }

  /** Delivers what was not ended by a newline. */
  end(): void {
    for (const stream of ["stdout", "stderr"] as const) {
      if (this.#rests[stream] !== "") this.#onLine(stream, this.#rests[stream]);
      this.#rests[stream] = "";
    }
  }

  #read(source: Readable, stream: "stdout" | "stderr"): void {
    source.setEncoding("utf8");
    source.on("error", () => {});
    let countedChars = 0;
    let countedFromMs = performance.now();
    source.on("data", (text: string) => {
      const nowMs = performance.now();
      if (nowMs - countedFromMs >= pauseMs) [countedChars, countedFromMs] = [0, nowMs];
      countedChars += text.length;
      if (countedChars >= charsPerPause) {
        source.pause();
        setTimeout(() => source.resume(), pauseMs).unref();
      }
      if (stream === "stderr") this.#stderrTail = (this.#stderrTail + text).slice(-tailChars);
      const lines = (this.#rests[stream] + text).split("\n");
      let rest = lines.pop() ?? "";
      for (const line of lines) this.#onLine(stream, line.slice(0, limits.logLineBytes));
      // Output without newlines must not grow for ever.
      if (rest.length > limits.logLineBytes) {
        this.#onLine(stream, rest.slice(0, limits.logLineBytes));
        rest = "";
      }
      this.#rests[stream] = rest;
    });
  }
}

/**
 * The program of an image, in a container of its own beside the companion that speaks for it: both end together. What it
 * prints is the function's output; how it ends says why the instance ends.
 */
import { AloftError } from "../contract/errors.ts";
import type { SandboxExit, SandboxProgram } from "../contract/sandbox.ts";
import { OutputLines } from "./output-lines.ts";

/** From SIGTERM to SIGKILL. */
const stopGraceMs = 10_000;

export class BesideProgram {
  readonly #program: SandboxProgram;
  readonly #output: OutputLines;
  #exit: SandboxExit | null = null;
  #timer: NodeJS.Timeout | null = null;

  /** `onExit` is called when it has ended, whyever. */
  constructor(
    program: SandboxProgram,
    onLine: (stream: "stdout" | "stderr", message: string) => void,
    onExit: () => void,
  ) {
    this.#program = program;
    this.#output = new OutputLines(program, onLine);
    void program.exited.then((exit) => {
      this.#exit = exit;
      if (this.#timer !== null) clearTimeout(this.#timer);
      onExit();
    });
  }

  get hasEnded(): boolean {
    return this.#exit !== null;
  }

  get ended(): Promise<unknown> {
    return this.#program.exited;
  }

  memoryBytes(): number | null {
    return this.#program.memoryBytes();
  }

  hasLackedMemory(): boolean {
    return this.#program.hasLackedMemory();
  }

  /** SIGTERM, and SIGKILL when it has not ended by then. */
  stop(): void {
    if (this.#timer !== null || this.hasEnded) return;
    this.#timer = setTimeout(() => this.#program.kill(), stopGraceMs);
    this.#program.terminate();
  }

  kill(): void {
    this.#program.kill();
  }

  /** Delivers what was not ended by a newline. */
  endOutput(): void {
    this.#output.end();
  }

  /** Why it ended by itself, in the user's words. */
  endedError(isReady: boolean, memoryMiB: number): AloftError {
    const { code = null, signal = null, oomKilled = false } = this.#exit ?? {};
    if (oomKilled) {
      return new AloftError("FUNCTION_OUT_OF_MEMORY", `the function needed more than its ${memoryMiB} MiB of memory`, {
        hint: 'raise "memoryMiB" of the function (range 64 MiB to 16 GiB); files that it writes count as memory too',
      });
    }
    const how = signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`;
    const stderr = this.#output.stderrTail();
    const detail = stderr === "" ? undefined : { stderr };
    if (isReady) return new AloftError("FUNCTION_CRASHED", `the image's program ${how}`, { detail });
    const lines = stderr.trimEnd().split("\n").slice(-linesShown).join("\n");
    const message = `the image's program ${how} before it was ready${lines === "" ? "" : `\n${lines}`}`;
    return new AloftError("FUNCTION_START_FAILED", message, {
      detail,
      hint: "an image's program runs as its own user, which may be its root but not the host's, and has to stay in the foreground",
    });
  }
}

const linesShown = 20;

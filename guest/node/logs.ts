/**
 * What the user's code prints becomes log frames, each with the invocation that printed it. Lines leave with the turn's
 * other frames, or at once when the last flush is over a millisecond ago: what a handler printed before it blocked the
 * event loop for good is then already out.
 */
import { Writable } from "node:stream";
import { format } from "node:util";
import { writeLog } from "../../src/wire/messages.ts";
import type { FrameWriter } from "../../src/wire/writer.ts";

const Level = { debug: 0, info: 1, warn: 2, error: 3 } as const;
const Source = { console: 0, stdout: 1, stderr: 2 } as const;

const lineCharsMax = 32 * 1024;
const flushEveryMs = 1;
/** While more than this waits for the node to read it, lines are dropped: they would only fill this process. */
const unsentBytesMax = 1024 * 1024;

export interface LogTarget {
  readonly writer: FrameWriter;
  /** Stream id of the invocation that runs now, 0 for none. */
  currentStream(): number;
}

export interface Logs {
  error(stream: number, text: string): void;
  /** A line of a program's standard output (1) or standard error (2). */
  printed(stream: number, descriptor: 1 | 2, line: string): void;
}

/** Replaces `console` methods and the two output streams. */
export function captureLogs(target: LogTarget): Logs {
  let flushedAt = 0;
  let dropped = 0;

  function emit(level: number, source: number, text: string, stream = target.currentStream()): void {
    if (target.writer.unsentBytes > unsentBytesMax) {
      dropped += 1;
      return;
    }
    if (dropped > 0) {
      const message = `${dropped} log lines were dropped: they came faster than they could be taken`;
      dropped = 0;
      writeLog(target.writer, 0, { level: Level.warn, source: Source.console, atMs: Date.now(), text: message });
    }
    writeLog(target.writer, stream, {
      level,
      source,
      atMs: Date.now(),
      text: text.length > lineCharsMax ? text.slice(0, lineCharsMax) : text,
    });
    const now = performance.now();
    if (now - flushedAt < flushEveryMs) return;
    flushedAt = now;
    target.writer.flush();
  }

  const methods: readonly [keyof Console & string, number][] = [
    ["debug", Level.debug],
    ["log", Level.info],
    ["info", Level.info],
    ["warn", Level.warn],
    ["error", Level.error],
  ];
  for (const [name, level] of methods) {
    Object.defineProperty(console, name, {
      value: (...parameters: unknown[]) => emit(level, Source.console, format(...parameters)),
      writable: true,
      configurable: true,
    });
  }
  console.trace = (...parameters: unknown[]) => {
    const trace = new Error(format(...parameters));
    trace.name = "Trace";
    emit(Level.error, Source.console, trace.stack ?? trace.message);
  };
  replaceStream(
    "stdout",
    lineStream(1, (line) => emit(Level.info, Source.stdout, line)),
  );
  replaceStream(
    "stderr",
    lineStream(2, (line) => emit(Level.error, Source.stderr, line)),
  );

  return {
    error: (stream, text) => emit(Level.error, Source.console, text, stream),
    printed(stream, descriptor, line) {
      if (descriptor === 1) emit(Level.info, Source.stdout, line, stream);
      else emit(Level.error, Source.stderr, line, stream);
    },
  };
}

/** A stream made when it is first asked for: most functions never touch `process.stdout` itself. */
function replaceStream(name: "stdout" | "stderr", make: () => Writable): void {
  let stream: Writable | null = null;
  Object.defineProperty(process, name, {
    configurable: true,
    enumerable: true,
    get() {
      stream ??= make();
      return stream;
    },
  });
}

function lineStream(fd: number, onLine: (line: string) => void): () => Writable {
  return () => {
    const take = lineTaker(onLine);
    const stream = new Writable({
      decodeStrings: false,
      write(chunk: string | Buffer, _encoding, callback) {
        take(chunk.toString());
        callback();
      },
    });
    return Object.assign(stream, { fd, isTTY: false });
  };
}

/** Takes text in pieces and passes it on in lines. */
export function lineTaker(onLine: (line: string) => void): (text: string) => void {
  let rest = "";
  return (text) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) onLine(line);
    // Output without line ends must not grow for ever.
    while (rest.length > lineCharsMax) {
      onLine(rest.slice(0, lineCharsMax));
      rest = rest.slice(lineCharsMax);
    }
  };
}

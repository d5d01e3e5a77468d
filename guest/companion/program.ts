/**
 * The program's process: started in the deployment's folder with the deployment's variables, its output passed on line by
 * line, its end told. It has neither the frame socket nor the mark: descriptors beyond 2 stay here.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:os";
import { lineTaker } from "../node/logs.ts";
import type { LoadParts } from "../node/runtime.ts";

export interface ProgramOptions {
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly printed: LoadParts["printed"];
}

export interface RunningProgram {
  /** "ended with exit code 1"; resolves once. A program that could not be started has ended. */
  readonly ended: Promise<ProgramEnd>;
  /** null while it runs. */
  end: ProgramEnd | null;
  /** SIGTERM, and SIGKILL when it has not ended by then. Resolves when it has ended. */
  stop(graceMs: number): Promise<void>;
}

export interface ProgramEnd {
  /** The rest of a sentence that begins with the program. */
  readonly how: string;
  /** Its last lines on standard error. */
  readonly lastLines: readonly string[];
}

const lastLinesMax = 20;

/** `when`: "before it was ready". */
export function sentenceOf({ how, lastLines }: ProgramEnd, when = ""): string {
  return [`the program ${how}${when === "" ? "" : ` ${when}`}`, ...lastLines].join("\n");
}

export function runProgram({ argv, cwd, env, printed }: ProgramOptions): RunningProgram {
  const lastLines: string[] = [];
  const [file = "", ...parameters] = argv;
  const child = spawn(file, parameters, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise<ProgramEnd>((resolve) => {
    const settle = (how: string): void => {
      running.end ??= { how, lastLines };
      resolve(running.end);
    };
    child.once("error", (error: NodeJS.ErrnoException) => settle(startFailure(file, error)));
    // `close` comes when its output has been read too.
    child.once("close", (code, signal) => settle(howItEnded(code, signal)));
  });
  const running: RunningProgram = { ended, end: null, stop: (graceMs) => stop(child, ended, graceMs) };
  for (const [descriptor, stream] of [
    [1, child.stdout],
    [2, child.stderr],
  ] as const) {
    const take = lineTaker((line) => {
      if (descriptor === 2) {
        lastLines.push(line.slice(0, 500));
        if (lastLines.length > lastLinesMax) lastLines.shift();
      }
      printed(descriptor, line);
    });
    stream.setEncoding("utf8");
    let isCut = false;
    stream.on("data", (text: string) => {
      isCut = !text.endsWith("\n");
      take(text);
    });
    stream.once("end", () => {
      if (isCut) take("\n");
    });
  }
  return running;
}

function howItEnded(code: number | null, signal: NodeJS.Signals | null): string {
  return signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`;
}

function startFailure(file: string, error: NodeJS.ErrnoException): string {
  switch (error.errno) {
    case -constants.errno.ENOENT:
      return `cannot be started: there is no ${file}, or it needs an interpreter that is not there`;
    case -constants.errno.EACCES:
      return `cannot be started: ${file} is not executable`;
    case -constants.errno.ENOEXEC:
      return `cannot be started: ${file} is no program for this machine (${process.arch})`;
    default:
      return `cannot be started: ${error.message}`;
  }
}

async function stop(child: ChildProcess, ended: Promise<unknown>, graceMs: number): Promise<void> {
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), graceMs);
  await ended;
  clearTimeout(timer);
}

/** One process of an environment: the runtime or an external extension. Its lines are passed on, its end is told once. */
import { type ChildProcess, spawn } from "node:child_process";
import { lineTaker } from "../../node/logs.ts";
import { whyNotExecutable } from "./executable.ts";
import { killTree } from "./own-processes.ts";

export interface ChildOptions {
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly printed: (descriptor: 1 | 2, line: string) => void;
}

export interface Child {
  readonly pid: number;
  /** "exit status 1", "signal: killed"; "" for a plain end with 0. Resolves once. */
  readonly ended: Promise<string>;
  isOver: boolean;
  /** To it alone: what it has started is its own to end. */
  terminate(): void;
  /** With all that descends from it. */
  kill(): void;
}

/** Throws a LaunchError. */
export async function startChild({ argv, cwd, env, printed }: ChildOptions): Promise<Child> {
  const [file = "", ...parameters] = argv;
  const reason = file.includes("/") ? whyNotExecutable(file) : null;
  if (reason !== null) throw new LaunchError(file, reason);
  const child = spawn(file, parameters, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise<string>((resolve) => {
    child.once("exit", (code, signal) => {
      started.isOver = true;
      resolve(howItEnded(code, signal));
    });
  });
  const started: Child = {
    pid: child.pid ?? 0,
    ended,
    isOver: false,
    terminate: () => child.kill("SIGTERM"),
    kill: () => {
      if (!started.isOver) killTree(started.pid, "SIGKILL");
    },
  };
  readLines(child, printed);
  await new Promise<void>((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", (error: NodeJS.ErrnoException) => reject(new LaunchError(file, launchReason(error))));
  });
  return started;
}

/** It could not even be started. */
export class LaunchError extends Error {
  override readonly name = "LaunchError";

  constructor(file: string, reason: string) {
    super(`fork/exec ${file}: ${reason}`);
  }
}

function launchReason({ code, message }: NodeJS.ErrnoException): string {
  // The file is there: it was looked at. So it is the interpreter that it names.
  if (code === "ENOENT") return "no such file or directory";
  return code === "EACCES" ? "permission denied" : message;
}

function readLines(child: ChildProcess, printed: ChildOptions["printed"]): void {
  for (const [descriptor, stream] of [
    [1, child.stdout],
    [2, child.stderr],
  ] as const) {
    if (stream === null) continue;
    const take = lineTaker((line) => printed(descriptor, line));
    let isAtStart = true;
    stream.setEncoding("utf8");
    stream.on("data", (text: string) => {
      isAtStart = text.endsWith("\n");
      take(text);
    });
    stream.once("end", () => {
      if (!isAtStart) take("\n");
    });
  }
}

function howItEnded(code: number | null, signal: NodeJS.Signals | null): string {
  if (signal !== null) return `signal: ${signalWords[signal] ?? signal}`;
  return code === 0 ? "" : `exit status ${code}`;
}

/** As Go names them, and so AWS. */
const signalWords: Readonly<Partial<Record<NodeJS.Signals, string>>> = {
  SIGKILL: "killed",
  SIGTERM: "terminated",
  SIGSEGV: "segmentation fault",
  SIGABRT: "aborted",
  SIGILL: "illegal instruction",
  SIGBUS: "bus error",
  SIGFPE: "floating point exception",
  SIGINT: "interrupt",
  SIGPIPE: "broken pipe",
};

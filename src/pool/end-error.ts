/** Why an instance ended, in the words that its invocations, or whoever waits for its start, get as their error. */
import { AloftError } from "../contract/errors.ts";
import { limits } from "../contract/limits.ts";
import type { SandboxExit } from "../contract/sandbox.ts";

/** Why an instance was ended from this side. */
export type EndReason =
  | "idle"
  | "retired"
  | "evicted"
  | "memory"
  | "blocked"
  | "stuck"
  | "crashed"
  | "violation"
  | "start"
  | "stopping";

export interface InstanceEnd {
  /** null: it ended by itself. */
  readonly reason: EndReason | null;
  /** What it said or did before: the error of its import, an uncaught exception, a broken protocol. */
  readonly cause: AloftError | null;
  readonly exit: SandboxExit;
  readonly stderrTail: string;
  readonly memoryMiB: number;
  /** How far it had come. */
  readonly stage: "starting" | "importing" | "serving";
}

export function endError(end: InstanceEnd): AloftError {
  const { reason, cause, exit, stderrTail, memoryMiB, stage } = end;
  if (cause?.code === "FUNCTION_START_FAILED") return cause;
  if (reason === "memory" || exit.oomKilled || stderrTail.includes("heap out of memory")) {
    return new AloftError("FUNCTION_OUT_OF_MEMORY", `the function needed more than its ${memoryMiB} MiB of memory`, {
      hint: 'raise "memoryMiB" of the function (range 64 MiB to 16 GiB), or stream what it holds',
    });
  }
  if (cause !== null) return cause;
  switch (reason) {
    case "start":
      return startTookTooLong(stage);
    case "blocked":
      return new AloftError(
        "FUNCTION_CRASHED",
        "the process was ended: a handler blocked its event loop past the timeout",
      );
    case "stuck":
      return new AloftError("FUNCTION_CRASHED", "the process was ended: a handler went on after it had been aborted");
    case "stopping":
      return new AloftError("SHUTTING_DOWN", "the server is stopping");
    case null:
      return endedByItself(exit, stderrTail, stage);
    default:
      return new AloftError("FUNCTION_CRASHED", `the process was ended (${reason})`);
  }
}

function startTookTooLong(stage: InstanceEnd["stage"]): AloftError {
  const seconds = limits.startMs / 1000;
  if (stage === "starting") {
    return new AloftError("SANDBOX_START_FAILED", `a runtime process did not start within ${seconds} s`);
  }
  return new AloftError("FUNCTION_START_FAILED", `importing the code took longer than ${seconds} s`, {
    hint: "an import must end: move endless work into a handler",
  });
}

function endedByItself(exit: SandboxExit, stderrTail: string, stage: InstanceEnd["stage"]): AloftError {
  const how = exit.signal === null ? `with exit code ${exit.code}` : `by ${exit.signal}`;
  const detail = stderrTail === "" ? undefined : { stderr: stderrTail };
  switch (stage) {
    case "starting":
      return new AloftError("SANDBOX_START_FAILED", `a runtime process ended ${how} while it started`, {
        detail,
        hint: "look for variables that Node reads when it starts, such as NODE_OPTIONS",
      });
    case "importing":
      return new AloftError("FUNCTION_START_FAILED", `the process ended ${how} while the code was imported`, {
        detail,
      });
    case "serving":
      return new AloftError("FUNCTION_CRASHED", `the function's process ended ${how}`, { detail });
    default:
      return stage satisfies never;
  }
}

/**
 * The life of an execution environment, as AWS draws it. Pure; `environment.ts` does what each phase says.
 *
 *     cold --start--> init --ready--> idle --invoke--> invoke --done--> idle
 *      ^                \                                 \
 *      |                 \--fail--> reset <----------fail--/     fail from idle too: its program may end at any time
 *      \------ended------------------/
 *
 *     any but gone --shutdown--> shutdown --ended--> gone
 *
 * After a reset the environment is cold again: its files and its network stay, its processes are gone, and the next
 * invocation starts them anew (AWS calls that a suppressed init).
 */

export type Phase = "cold" | "init" | "idle" | "invoke" | "reset" | "shutdown" | "gone";

export type PhaseEvent = "start" | "ready" | "invoke" | "done" | "fail" | "ended" | "shutdown";

const transitions: Readonly<Record<Phase, Partial<Record<PhaseEvent, Phase>>>> = {
  cold: { start: "init", shutdown: "shutdown" },
  init: { ready: "idle", fail: "reset", shutdown: "shutdown" },
  idle: { invoke: "invoke", fail: "reset", shutdown: "shutdown" },
  invoke: { done: "idle", fail: "reset", shutdown: "shutdown" },
  reset: { ended: "cold", shutdown: "shutdown" },
  shutdown: { ended: "gone" },
  gone: {},
};

/** null: cannot happen in this phase, or makes no difference to it. */
export function nextPhase(phase: Phase, event: PhaseEvent): Phase | null {
  return transitions[phase][event] ?? null;
}

/** Why processes are ended; extensions read it in their SHUTDOWN event. AWS sends it in lower case. */
export type ShutdownReason = "spindown" | "timeout" | "failure";

export interface ShutdownBudget {
  /** From SIGTERM to SIGKILL of the runtime; 0: SIGKILL at once. */
  readonly runtimeMs: number;
  /** From the beginning to SIGKILL of what is left; the deadline in the SHUTDOWN event. */
  readonly totalMs: number;
}

/** AWS's three cases. Only whoever has registered an extension is given time. */
export function shutdownBudget(extensions: { readonly external: number; readonly internal: number }): ShutdownBudget {
  if (extensions.external > 0) return { runtimeMs: 300, totalMs: 2000 };
  if (extensions.internal > 0) return { runtimeMs: 500, totalMs: 500 };
  return { runtimeMs: 0, totalMs: 0 };
}

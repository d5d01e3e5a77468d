/**
 * What an extension may do next (`core/externalagent_states.go` and `internalagent_states.go` of AWS's emulator). Pure.
 *
 *     Started --register--> Registered --next--> Ready --event--> Running --next--> Ready ...
 *                                |
 *                                |--initError--> InitError      exitError, from Registered, Ready and Running --> ExitError
 *
 * An external extension is Started before it has said anything: its file was found and its process started. An internal one
 * comes into being when it registers. Of several errors only the first counts, and repeating it is no error.
 */

export type ExtensionState =
  | "Started"
  | "Registered"
  | "Ready"
  | "Running"
  | "InitError"
  | "ExitError"
  | "ShutdownFailed"
  | "Exited"
  | "LaunchError";

export type ExtensionTransition =
  | "register"
  | "next"
  | "event"
  | "initError"
  | "exitError"
  | "exited"
  | "killed"
  | "launchError";

const transitions: Readonly<Record<ExtensionState, Partial<Record<ExtensionTransition, ExtensionState>>>> = {
  Started: { register: "Registered", launchError: "LaunchError" },
  Registered: { next: "Ready", initError: "InitError", exitError: "ExitError" },
  Ready: { event: "Running", exitError: "ExitError" },
  Running: { next: "Ready", exitError: "ExitError", exited: "Exited", killed: "ShutdownFailed" },
  InitError: { initError: "InitError" },
  ExitError: { exitError: "ExitError" },
  ShutdownFailed: {},
  Exited: {},
  LaunchError: {},
};

/** null: not allowed now. */
export function nextExtensionState(state: ExtensionState, transition: ExtensionTransition): ExtensionState | null {
  return transitions[state][transition] ?? null;
}

/** The state that a request asks for, as AWS names it when it refuses. */
export const askedExtensionState = {
  register: "Registered",
  next: "Ready",
  initError: "InitError",
  exitError: "Exited",
} as const satisfies Partial<Record<ExtensionTransition, ExtensionState>>;

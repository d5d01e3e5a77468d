/**
 * What a runtime may do next, as AWS's own Runtime API has it (`core/states.go` of the runtime interface emulator). Pure.
 *
 *     Started --next--> Ready --invoke--> Running --response--> InvocationResponse ------sent--> RuntimeResponseSentState
 *        |                ^                  \------error-----> InvocationErrorResponse -sent-->        |
 *        |                 \----------------------------------next-----------------------------------/
 *        |--initError--> InitError
 *        \--restoreNext--> RestoreReady --restore--> Restoring --next--> Ready
 *                                                             \--restoreError, initError--> RuntimeRestoreErrorState
 *
 * `next` in Ready waits once more, and in Running it gets the same event again: a client that lost its connection may ask
 * twice. The names are those that AWS writes into its error messages.
 */

export type RuntimeState =
  | "Started"
  | "InitError"
  | "Ready"
  | "Running"
  | "RestoreReady"
  | "Restoring"
  | "InvocationResponse"
  | "InvocationErrorResponse"
  | "RuntimeResponseSentState"
  | "RuntimeRestoreErrorState";

export type RuntimeEvent =
  | "next"
  | "invoke"
  | "response"
  | "error"
  | "sent"
  | "initError"
  | "restoreNext"
  | "restore"
  | "restoreError";

const transitions: Readonly<Record<RuntimeState, Partial<Record<RuntimeEvent, RuntimeState>>>> = {
  Started: { next: "Ready", initError: "InitError", restoreNext: "RestoreReady" },
  InitError: {},
  Ready: { next: "Ready", invoke: "Running" },
  Running: { next: "Running", response: "InvocationResponse", error: "InvocationErrorResponse" },
  RestoreReady: { restore: "Restoring" },
  Restoring: { next: "Ready", restoreError: "RuntimeRestoreErrorState", initError: "RuntimeRestoreErrorState" },
  InvocationResponse: { sent: "RuntimeResponseSentState" },
  InvocationErrorResponse: { sent: "RuntimeResponseSentState" },
  RuntimeResponseSentState: { next: "Ready" },
  RuntimeRestoreErrorState: {},
};

/** null: not allowed now. */
export function nextRuntimeState(state: RuntimeState, event: RuntimeEvent): RuntimeState | null {
  return transitions[state][event] ?? null;
}

/** The state that a request asks for, as it is named when it is refused. */
export const askedState: Readonly<Record<Exclude<RuntimeEvent, "invoke" | "sent" | "restore">, RuntimeState>> = {
  next: "Ready",
  response: "InvocationResponse",
  error: "InvocationErrorResponse",
  initError: "InitError",
  restoreNext: "Ready",
  restoreError: "RuntimeRestoreErrorState",
};

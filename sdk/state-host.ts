/** Where state is read and written: the platform inside Aloft, the memory of the process outside of it. */
import { localState } from "./local-state.ts";
import { findRuntimeHost, type StateHost, type StateRequest } from "./runtime-host.ts";

export async function readState(request: StateRequest): Promise<unknown> {
  return await stateHost().read(request);
}

/** The runtime keeps an eye on its promise: it must be handed on as it is, so that nobody's failure is swallowed. */
export function writeState(request: StateRequest): Promise<unknown> {
  return stateHost().write(request);
}

export function stateHost(): StateHost {
  return findRuntimeHost()?.state ?? localState;
}

/**
 * A contestant: one server that does the job of this benchmark, started and stopped like every other.
 *
 * The job: `GET /` answers `hello` as text; `POST /json` takes 1 KiB of JSON, parses it and answers `{"id": ...}` with the
 * field of that name. Nothing else may be in the way: every contestant runs with the settings it comes with.
 */

/** `door` takes requests in, `function` runs the user's code, `worker` is neither; `server` is door and function in one. */
export type Role = "door" | "function" | "worker" | "server";

export interface ProcessRef {
  readonly role: Role;
  readonly pid: number;
}

/** What a contestant says it counted itself; only Aloft keeps such an account. */
export interface Account {
  readonly accepted: number;
  readonly written: number;
  readonly dropped: number;
}

export interface Running {
  readonly url: string;
  /** Value of the Host header; the url's own when absent. */
  readonly host?: string;
  /** Asked before and after a load, for instances come and go. */
  processes(): readonly ProcessRef[];
  /** Resolves when everything that was accepted has been written or dropped. */
  account?(): Promise<Account>;
  stop(): Promise<void>;
}

export interface Contestant {
  readonly name: string;
  /** Name and version, as it goes into the results. */
  version(): string;
  start(): Promise<Running>;
}

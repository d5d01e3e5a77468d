/** What a command is given when it runs. */
import type { Flags, ArgumentSpec } from "./arguments.ts";
import type { ControlClient } from "./client.ts";
import type { Terminal } from "./terminal.ts";

export interface Command extends ArgumentSpec {
  /** One line, lower case, without a full stop. */
  readonly summary: string;
  /** What the summary leaves open; lines of at most 100 characters. */
  readonly about?: string;
  readonly examples: readonly { readonly line: string; readonly about: string }[];
}

export interface Context {
  readonly words: readonly string[];
  readonly flags: Flags;
  /** Whether the result is wanted as JSON. */
  readonly json: boolean;
  readonly terminal: Terminal;
  /** The folder the command was given in. */
  readonly folder: string;
  /** A client of the server that the flags, the environment or a running `dev` name. */
  client(): Promise<ControlClient>;
}

/** Resolves to the exit code: 0 done, 1 the platform or the function failed. Wrong usage is thrown as USAGE. */
export type Run = (context: Context) => Promise<number>;

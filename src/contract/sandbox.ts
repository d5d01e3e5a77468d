/** The port of the drivers in `sandbox/`: start a program behind a wall and talk to it over one socket. */
import type { Socket } from "node:net";
import type { Readable } from "node:stream";

export interface SandboxSpec {
  /** Unique on this node; shows in folder and cgroup names. */
  readonly id: string;
  /** Program and arguments, absolute paths. */
  readonly argv: readonly string[];
  /** The whole environment of the program: nothing of the server's own is added. */
  readonly env: Readonly<Record<string, string>>;
  readonly memoryMiB: number;
  /** Whether the program may reach the network; the `process` driver cannot take it away and says so. */
  readonly network: boolean;
}

export interface SandboxExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface SandboxProcess {
  readonly id: string;
  readonly pid: number;
  /** The node's end of an inherited socket pair; the program has the other end as descriptor 3. */
  readonly socket: Socket;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** A private folder of the instance, removed when it has ended. The program's `TMPDIR` and working folder. */
  readonly folder: string;
  /** Resolves once, when the program and everything it started in the sandbox is gone. */
  readonly exited: Promise<SandboxExit>;
  /** Private resident bytes now, without the pages of programs and libraries shared with others; null when it has ended. */
  memoryBytes(): number | null;
  /**
   * `background`: runs on processor time that nobody else wants, until it is `normal` again. Without effect where the host
   * does not let that be taken back.
   */
  setPriority(priority: "background" | "normal"): void;
  /** At once and for good, with everything it started. Idempotent. */
  kill(): void;
}

export interface Sandbox {
  readonly kind: "process" | "oci";
  /** Throws SANDBOX_START_FAILED. */
  start(spec: SandboxSpec): SandboxProcess;
  /** Kills what is left and removes every folder. */
  close(): Promise<void>;
}

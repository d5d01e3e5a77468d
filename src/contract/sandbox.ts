/** The port of the drivers in `sandbox/`: start a program behind a wall and talk to it over one socket. */
import type { Socket } from "node:net";
import type { Readable } from "node:stream";
import type { NetworkPolicy } from "./network.ts";

export interface SandboxSpec {
  /** Unique on this node; shows in folder and cgroup names. */
  readonly id: string;
  /** Program and arguments; paths of this host, absolute. */
  readonly argv: readonly string[];
  /**
   * The files of this host that `argv` names. A driver may show them to the program at other paths, and gives it `argv`
   * accordingly.
   */
  readonly files: readonly string[];
  /** Further files and folders of this host that the program reads, at the same paths there; absolute, without links. */
  readonly paths?: readonly string[];
  /** The whole environment of the program: nothing of the server's own is added. */
  readonly env: Readonly<Record<string, string>>;
  readonly memoryMiB: number;
  /**
   * Whether it may be given a way to the network later (`setNetwork`); until then, and without, it reaches its own loopback
   * only. The `process` driver cannot take the network away, and `keepsNetwork` says so.
   */
  readonly network: boolean;
  /** The id of a program that runs here: both have one network, its loopback and its policy. `network` has no meaning then. */
  readonly sharesNetworkOf?: string;
  /** What it has until `setPriority` is called; `normal` unless told. */
  readonly priority?: "background" | "normal";
}

/** A program of an image, in the image's own files; what it has not is the socket. */
export interface ImageProgramSpec {
  /** Unique on this node, among instances too. */
  readonly id: string;
  /** As the image names them. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly memoryMiB: number;
  /** The id of an instance that runs here: both have one network. */
  readonly sharesNetworkOf: string;
  /** It is started once somebody listens there on that network's loopback; null: at once. */
  readonly waitsForPort: number | null;
  /** The image's files on this host; they are never written to. */
  readonly root: string;
  /** How much there is in them. */
  readonly rootBytes: number;
  readonly rootFiles: number;
  readonly workingDir: string;
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  /** Every user and group whose number means something in the image, those above and 0 among them. */
  readonly owners: readonly number[];
}

export interface SandboxExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The kernel ended it, or a process of it, because it had used all of its memory. */
  readonly oomKilled: boolean;
}

export interface SandboxProgram {
  readonly id: string;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Resolves once, when the program and everything it started in the sandbox is gone. */
  readonly exited: Promise<SandboxExit>;
  /** Private resident bytes now, without the pages of programs and libraries shared with others; null when it has ended. */
  memoryBytes(): number | null;
  /** Whether the kernel has ended a process in it for its memory, though it may itself live on. */
  hasLackedMemory(): boolean;
  /** Asks it to end, with SIGTERM. */
  terminate(): void;
  /** At once and for good, with everything it started. Idempotent. */
  kill(): void;
}

export interface SandboxProcess {
  readonly id: string;
  /** On this host: the program, or what stands for it and ends with it. */
  readonly pid: number;
  /** The node's end of an inherited socket pair; the program has the other end as descriptor 3. */
  readonly socket: Socket;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** What this host keeps of the instance, removed when it has ended. */
  readonly folder: string;
  /** Resolves once, when the program and everything it started in the sandbox is gone. */
  readonly exited: Promise<SandboxExit>;
  /**
   * The highest id of an invocation whose handler may have been called, as the program last wrote it to descriptor 4; also
   * after its end. null where it could not be given one and says it over the socket.
   */
  readBegun(): number | null;
  /** Whether the kernel has ended a process in it for its memory, though it may itself live on. */
  hasLackedMemory(): boolean;
  /** Private resident bytes now, without the pages of programs and libraries shared with others; null when it has ended. */
  memoryBytes(): number | null;
  /**
   * Lets the program read the files of a deployment and returns their folder as the program sees it: at once where that
   * takes no longer than a few milliseconds. Called at most once. Throws, or rejects, when the disk is full.
   */
  place(root: string): string | Promise<string>;
  /**
   * What it may reach from now on. At once, but for a list of hosts that this server has not used before. Without effect on
   * a program that was started without `network`. `onRefusedName` hears of each question for a name that the policy does not
   * allow; the name is the program's own choice.
   */
  setNetwork(policy: NetworkPolicy, onRefusedName?: (name: string) => void): void | Promise<void>;
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
  /** Whether programs reach what `setNetwork` says and nothing else. */
  readonly keepsNetwork: boolean;
  /** Throws SANDBOX_START_FAILED. */
  start(spec: SandboxSpec): SandboxProcess;
  /** Absent: the driver cannot run images. Throws SANDBOX_START_FAILED. */
  startImage?(spec: ImageProgramSpec): SandboxProgram;
  /** Kills what is left and removes every folder. */
  close(): Promise<void>;
}

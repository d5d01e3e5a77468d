/** A container that runs: the end of its runtime, its group, and all that goes with it. */
import type { ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { constants as osConstants, setPriority } from "node:os";
import { rm } from "node:fs/promises";
import type { Socket } from "node:net";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import type { NetworkPolicy } from "../../contract/network.ts";
import type { SandboxExit, SandboxProcess } from "../../contract/sandbox.ts";
import type { BegunMark } from "../begun-mark.ts";
import type { Cgroup } from "./cgroups.ts";
import type { ImagePipes } from "./image-pipes.ts";
import type { LinkedTrees } from "./linked-tree.ts";
import type { InstanceNetwork } from "./network/network.ts";
import { taskFolder } from "./root-folder.ts";

export const normalShares = 1024;
/** A tenth, as of the nice value 10. */
export const backgroundShares = 102;
export const backgroundNice = 10;
/** After SIGKILL to all that is inside the runtime ends within some milliseconds; one that does not is stuck. */
const runtimeEndMs = 2000;
const groupLookMs = 5;

export interface OciProcessParts {
  readonly id: string;
  readonly child: ChildProcess;
  readonly folder: string;
  readonly stateFolder: string;
  readonly cgroup: Cgroup;
  readonly trees: LinkedTrees;
  readonly network: InstanceNetwork | null;
  readonly mark: BegunMark | null;
  /** Of an image's program, in place of descriptors 1 and 2. */
  readonly pipes?: ImagePipes;
  readonly onGone: () => void;
}

export class OciProcess implements SandboxProcess {
  readonly id: string;
  readonly pid: number;
  readonly socket: Socket;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly folder: string;
  readonly exited: Promise<SandboxExit>;
  readonly #parts: OciProcessParts;
  #hasEnded = false;
  #killTimer: NodeJS.Timeout | null = null;

  constructor(parts: OciProcessParts) {
    const [, stdout, stderr, socket] = parts.child.stdio;
    this.id = parts.id;
    this.pid = parts.child.pid ?? 0;
    this.folder = parts.folder;
    this.socket = socket as unknown as Socket;
    this.stdout = parts.pipes?.stdout ?? (stdout as Readable);
    this.stderr = parts.pipes?.stderr ?? (stderr as Readable);
    this.#parts = parts;
    this.exited = this.#watchEnd();
  }

  get network(): InstanceNetwork | null {
    return this.#parts.network;
  }

  /** Of its namespace; null when it has ended, or its program has not begun. */
  networkPath(): string | null {
    if (this.#hasEnded) return null;
    const { network, cgroup } = this.#parts;
    if (network !== null) return network.path;
    const [pid] = cgroup.processes();
    return pid === undefined ? null : `/proc/${pid}/ns/net`;
  }

  readBegun(): number | null {
    return this.#parts.mark?.read() ?? null;
  }

  hasLackedMemory(): boolean {
    return !this.#hasEnded && this.#parts.cgroup.oomKills() > 0;
  }

  memoryBytes(): number | null {
    return this.#hasEnded ? null : this.#parts.cgroup.memoryBytes();
  }

  place(root: string): string | Promise<string> {
    const linking = this.#parts.trees.link(root, join(this.folder, "task"));
    return linking === null ? taskFolder : linking.then(() => taskFolder);
  }

  setNetwork(policy: NetworkPolicy, onRefusedName: (name: string) => void = () => {}): void | Promise<void> {
    return this.#hasEnded ? undefined : this.#parts.network?.setPolicy(policy, onRefusedName);
  }

  /**
   * By the weight of its group, which is what counts against others. The nice value, which its threads have from the
   * runtime that started in the background, is taken back as well: the machine's spare time is counted by it.
   */
  setPriority(priority: "background" | "normal"): void {
    if (this.#hasEnded) return;
    const { cgroup } = this.#parts;
    const isBackground = priority === "background";
    cgroup.setCpuShares(isBackground ? backgroundShares : normalShares);
    for (const thread of [this.pid, ...cgroup.threads()]) setNice(thread, isBackground ? backgroundNice : 0);
  }

  /** The first process of the container; one that has no handler for it stays, as everywhere. */
  terminate(): void {
    const first = this.#hasEnded ? undefined : this.#parts.cgroup.processes().find(isFirstInside);
    try {
      if (first === undefined) this.kill();
      else process.kill(first, "SIGTERM");
    } catch {
      // It has ended in this moment.
    }
  }

  kill(): void {
    if (this.#hasEnded) return;
    // The runtime sees its program end and ends too. Before there is a program, it is what has to end.
    if (this.#parts.cgroup.kill() === 0) this.#killRuntime();
    else this.#killTimer ??= setTimeout(() => this.#killRuntime(), runtimeEndMs);
  }

  async #watchEnd(): Promise<SandboxExit> {
    const { child, cgroup, folder, stateFolder, mark, pipes, onGone } = this.#parts;
    const how = await new Promise<Omit<SandboxExit, "oomKilled">>((resolve) => {
      child.once("error", () => resolve({ code: null, signal: null }));
      child.once("exit", (code, signal) => resolve(exitOf(code, signal)));
    });
    this.#hasEnded = true;
    if (this.#killTimer !== null) clearTimeout(this.#killTimer);
    this.#killRuntime();
    const oomKilled = cgroup.oomKills() > 0;
    mark?.close();
    while (cgroup.kill() > 0 || !cgroup.remove()) await pause(groupLookMs);
    await pipes?.drained;
    await rm(stateFolder, { recursive: true, force: true }).catch(() => {});
    await rm(folder, { recursive: true, force: true }).catch(() => {});
    onGone();
    return { ...how, oomKilled };
  }

  #killRuntime(): void {
    if (this.pid === 0) return;
    try {
      process.kill(-this.pid, "SIGKILL");
    } catch {
      // Nobody of the group is left.
    }
  }
}

/** A runtime ends with 128 and the number of the signal that ended the program, as shells do. */
function exitOf(code: number | null, signal: NodeJS.Signals | null): Omit<SandboxExit, "oomKilled"> {
  if (code === null || code <= 128) return { code, signal };
  const inner = Object.entries(osConstants.signals).find(([, number]) => number === code - 128)?.[0];
  return inner === undefined ? { code, signal } : { code: null, signal: inner as NodeJS.Signals };
}

/** By its number in its own namespace, the last of the line. */
function isFirstInside(pid: number): boolean {
  try {
    return /^NSpid:.*\t1$/m.test(readFileSync(`/proc/${pid}/status`, "latin1"));
  } catch {
    return false;
  }
}

function setNice(thread: number, nice: number): void {
  try {
    setPriority(thread, nice);
  } catch {
    // It has ended.
  }
}

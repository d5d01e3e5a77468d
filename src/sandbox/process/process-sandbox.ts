/**
 * The `process` driver: an instance is a plain child process with a clean environment, a folder of its own and nothing
 * else between it and the host. For development, and for hosts where no OCI runtime works.
 *
 * What was left behind by a server that was killed is ended at the next start: each instance's folder names its process
 * and that process's start time, so that a number the system has given to somebody else is never touched.
 */
import { type BegunMark, openBegunMark } from "../begun-mark.ts";
import { startTimeOf } from "../start-time.ts";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import type { Socket } from "node:net";
import { setPriority } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { AloftError } from "../../contract/errors.ts";
import type { Sandbox, SandboxExit, SandboxProcess, SandboxSpec } from "../../contract/sandbox.ts";

export interface ProcessSandboxOptions {
  /** Folder for the instances' own folders; what is in it belongs to this driver. */
  readonly folder: string;
}

const ownerFile = "owner.json";
const pageBytes = 4096;
const systemPath = "/usr/local/bin:/usr/bin:/bin";
/** A tenth of the weight of a process at 0: out of the way of what runs, and yet done in a second or two on a busy machine. */
const backgroundNice = 10;

export function openProcessSandbox(options: ProcessSandboxOptions): Sandbox {
  mkdirSync(options.folder, { recursive: true });
  endLeftovers(options.folder);
  const dyingWithServer = findDyingWithParent();
  const running = new Set<SandboxProcess>();

  function start(spec: SandboxSpec): SandboxProcess {
    const folder = join(options.folder, spec.id);
    const [program, ...parameters] = [...dyingWithServer, ...spec.argv];
    if (program === undefined) throw new AloftError("SANDBOX_START_FAILED", "a sandbox needs a program to run");
    let child: ChildProcess;
    let mark: BegunMark | null = null;
    try {
      mkdirSync(folder);
      mark = openBegunMark(folder, spec.id);
      child = spawn(program, parameters, {
        cwd: folder,
        env: { ...spec.env, TMPDIR: folder },
        stdio: ["ignore", "pipe", "pipe", "pipe", mark?.descriptor ?? "ignore"],
        // A process group of its own, so that what the program starts can be ended with it.
        detached: true,
      });
    } catch (error) {
      mark?.close();
      throw new AloftError("SANDBOX_START_FAILED", `the process could not be started: ${(error as Error).message}`, {
        cause: error,
        hint: "look for a limit on processes, open files or memory on this machine",
      });
    }
    const started = adopt(spec.id, folder, child, mark);
    if (spec.priority === "background") started.setPriority("background");
    running.add(started);
    void started.exited.then(() => running.delete(started));
    return started;
  }

  async function close(): Promise<void> {
    const exits = [...running].map((one) => {
      one.kill();
      return one.exited;
    });
    await Promise.all(exits);
  }

  return { kind: "process", keepsNetwork: false, start, close };
}

/**
 * A command before the command, with which Linux kills the program at the moment the server dies, however it dies
 * (PR_SET_PDEATHSIG). A guest ends by itself when its socket closes, but not while user code blocks its event loop.
 */
function findDyingWithParent(): readonly string[] {
  const command = ["setpriv", "--pdeathsig", "KILL", "--"];
  const [program = "", ...parameters] = command;
  const probe = spawnSync(program, [...parameters, "true"], { env: { PATH: systemPath }, stdio: "ignore" });
  if (probe.status !== 0) return [];
  const found = systemPath
    .split(":")
    .map((folder) => join(folder, program))
    .find(existsSync);
  return found === undefined ? [] : [found, ...parameters];
}

function adopt(id: string, folder: string, child: ChildProcess, mark: BegunMark | null): SandboxProcess {
  const pid = child.pid ?? 0;
  let hasEnded = false;
  if (pid > 0) writeOwner(folder, pid);

  function killGroup(): void {
    if (pid === 0) return;
    try {
      process.kill(-pid, "SIGKILL");
    } catch {
      // Nobody of the group is left.
    }
  }

  const exited = new Promise<SandboxExit>((resolve) => {
    let isSettled = false;
    function settle(exit: SandboxExit): void {
      if (isSettled) return;
      isSettled = true;
      hasEnded = true;
      killGroup();
      mark?.close();
      void rm(folder, { recursive: true, force: true })
        .catch(() => {})
        .then(() => resolve(exit));
    }
    child.once("error", () => settle({ code: null, signal: null, oomKilled: false }));
    child.once("exit", (code, signal) => settle({ code, signal, oomKilled: false }));
  });
  const [, stdout, stderr, socket] = child.stdio;
  return {
    id,
    pid,
    socket: socket as unknown as Socket,
    stdout: stdout as Readable,
    stderr: stderr as Readable,
    folder,
    exited,
    readBegun: () => mark?.read() ?? null,
    place: (root) => root,
    // The network is the host's, and nothing here can take it away.
    setNetwork: () => {},
    hasLackedMemory: () => false,
    memoryBytes: () => (hasEnded ? null : residentBytesOfTree(pid)),
    setPriority: (priority) => {
      if (!hasEnded) setNice(pid, priority === "background" ? backgroundNice : 0);
    },
    kill: () => {
      if (hasEnded) return;
      killGroup();
      child.kill("SIGKILL");
    },
  };
}

function writeOwner(folder: string, pid: number): void {
  try {
    writeFileSync(join(folder, ownerFile), JSON.stringify({ pid, startedAt: startTimeOf(pid) }));
  } catch {
    // A full disk is no reason not to serve: only a server that is killed would miss it.
  }
}

/**
 * Of the process, and of the scheduling group that Linux makes for each session (sched_autogroup): within it nice values
 * count only among its own. Only the superuser can take a nice value back, so nobody else gives one.
 */
function setNice(pid: number, nice: number): void {
  if (process.geteuid?.() !== 0) return;
  try {
    setPriority(pid, nice);
    writeFileSync(`/proc/${pid}/autogroup`, String(nice));
  } catch {
    // It has ended, or this kernel groups otherwise.
  }
}

/** Of a process and all that descend from it; null when the first has ended. */
function residentBytesOfTree(pid: number): number | null {
  const own = residentBytesOf(pid);
  if (own === null) return null;
  return childrenOf(pid).reduce((sum, child) => sum + (residentBytesOfTree(child) ?? 0), own);
}

/** Of all its threads. Empty where the system does not say, or when it has ended. */
function childrenOf(pid: number): number[] {
  try {
    const folder = `/proc/${pid}/task`;
    return readdirSync(folder).flatMap((thread) =>
      readFileSync(`${folder}/${thread}/children`, "latin1")
        .split(" ")
        .filter((one) => one !== "")
        .map(Number),
    );
  } catch {
    return [];
  }
}

function residentBytesOf(pid: number): number | null {
  try {
    const fields = readFileSync(`/proc/${pid}/statm`, "latin1").split(" ");
    // Resident less shared: the pages of the runtime program that every instance maps are not the function's.
    return (Number(fields[1]) - Number(fields[2])) * pageBytes;
  } catch {
    return null;
  }
}

function endLeftovers(folder: string): void {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    try {
      const owner = JSON.parse(readFileSync(join(path, ownerFile), "utf8")) as { pid: number; startedAt: string };
      if (owner.startedAt !== "" && startTimeOf(owner.pid) === owner.startedAt) process.kill(-owner.pid, "SIGKILL");
    } catch {
      // No owner was written, or it has ended: only the folder is left.
    }
    rmSync(path, { recursive: true, force: true });
  }
}

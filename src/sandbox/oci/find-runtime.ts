/**
 * Which container runtime works on this host: each one that is installed is tried with the whole production bundle on a
 * guest that looks at its own walls (`probe-guest.ts`). One that leaves out any part is not `oci`.
 */
import { once } from "node:events";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { extname, join } from "node:path";
import { AloftError } from "../../contract/errors.ts";
import { limits } from "../../contract/limits.ts";
import type { Sandbox, SandboxProcess } from "../../contract/sandbox.ts";
import type { Clock } from "../../lib/clock.ts";
import { Cgroup, type CgroupPlace, findCgroupPlace } from "./cgroups.ts";
import type { HostIdRange } from "./host-ids.ts";
import { groupNameOf, openOciSandbox } from "./oci-sandbox.ts";
import type { InstanceNetwork, Network } from "./network/network.ts";
import { findProgram } from "./network/programs.ts";
import { insideId, seenHostName } from "./oci-spec.ts";
import { seccompArchitectures } from "./seccomp.ts";

export interface FindRuntimeOptions {
  /** For the trial's own files. */
  readonly folder: string;
  readonly ids: HostIdRange;
  readonly clock: Clock;
  /** Tried as well; null: instances have none. */
  readonly network: Network | null;
}

export interface FoundRuntime {
  /** Absolute path. */
  readonly runtime: string;
  readonly cgroups: CgroupPlace;
}

const names = ["runc", "crun", "runsc"] as const;
const probeMiB = 96;
/** A machine that is busy with something else takes many times the usual half second. */
const probeMs = 60_000;
const MiB = 1024 * 1024;

/** Throws SANDBOX_UNAVAILABLE, which names what is missing and what to install. */
export async function findRuntime(options: FindRuntimeOptions): Promise<FoundRuntime> {
  assertHost();
  const cgroups = cgroupPlace();
  const installed = names.map((name) => findProgram(name)).filter((path) => path !== null);
  if (installed.length === 0) {
    throw unavailable(
      `none of ${names.join(", ")} is installed`,
      "install one, for example with `apt-get install runc`",
    );
  }
  await options.network?.startTrial();
  const failures: string[] = [];
  for (const runtime of installed) {
    const problem = await probe(runtime, cgroups, options);
    if (problem === null) {
      await options.network?.endTrial();
      return { runtime, cgroups };
    }
    failures.push(`${runtime}: ${problem}`);
  }
  const others = names.filter((name) => !installed.some((path) => path.endsWith(`/${name}`)));
  const advice =
    others.length === 0
      ? "see docs/sandbox.md for what it needs"
      : `install ${others.join(" or ")}, or see docs/sandbox.md`;
  throw unavailable(failures.join("; "), advice);
}

function assertHost(): void {
  if (process.platform !== "linux") throw unavailable(`it needs Linux, and this is ${process.platform}`, "");
  if (seccompArchitectures[process.arch] === undefined) {
    throw unavailable(`there is no list of system calls for ${process.arch}`, "");
  }
  if (process.geteuid?.() !== 0) {
    throw unavailable(`it needs root, and this is user ${process.geteuid?.()}`, "start the server as root");
  }
}

function cgroupPlace(): CgroupPlace {
  try {
    return findCgroupPlace(readFileSync("/proc/self/cgroup", "utf8"), readFileSync("/proc/self/mountinfo", "utf8"));
  } catch (error) {
    throw unavailable((error as Error).message, "mount the cgroup file system with memory, cpu and pids");
  }
}

function unavailable(what: string, advice: string): AloftError {
  const hint = `${advice === "" ? "" : `${advice}; `}--sandbox process runs functions without a wall around them`;
  return new AloftError("SANDBOX_UNAVAILABLE", `the oci sandbox does not work on this host: ${what}`, { hint });
}

/** null when everything holds, else what does not. */
async function probe(runtime: string, cgroups: CgroupPlace, options: FindRuntimeOptions): Promise<string | null> {
  const folder = join(options.folder, "probe");
  const task = join(options.folder, "probe-task");
  let sandbox: Sandbox | null = null;
  try {
    mkdirSync(task, { recursive: true });
    writeFileSync(join(task, "file"), "placed");
    const network = options.network === null ? null : tryingOut(options.network);
    sandbox = openOciSandbox({ ...options, runtime, cgroups, folder, network });
    return await walk(sandbox, folder, cgroups, task, network?.trialAddress ?? null);
  } catch (error) {
    return (error as Error).message;
  } finally {
    await sandbox?.close();
    rmSync(folder, { recursive: true, force: true });
    rmSync(task, { recursive: true, force: true });
  }
}

/** The same network, in which every policy stands for what only the trial reaches. */
function tryingOut(network: Network): Network {
  const take = (): InstanceNetwork => {
    const one = network.take();
    const { path, making } = one;
    return {
      path,
      making,
      setPolicy: () => one.setTrial(),
      setTrial: () => {},
      hold: () => {},
      letGo: () => one.letGo(),
    };
  };
  return { ...network, take };
}

async function walk(
  sandbox: Sandbox,
  folder: string,
  cgroups: CgroupPlace,
  task: string,
  trialAddress: string | null,
): Promise<string | null> {
  const guest = join(import.meta.dirname, `probe-guest${extname(import.meta.filename)}`);
  const tmpBytes = (probeMiB * MiB) / 2;
  const expected = { id: insideId, tmpBytes, openFiles: limits.openFilesPerInstance, hostname: seenHostName };
  const started = sandbox.start({
    id: "probe",
    argv: [process.execPath, "--disable-warning=ExperimentalWarning", guest, JSON.stringify(expected)],
    files: [process.execPath, guest],
    env: {},
    memoryMiB: probeMiB,
    network: true,
  });
  const timer = setTimeout(() => started.kill(), probeMs);
  const said = listen(started);
  let stderr = "";
  started.stderr.on("data", (chunk: Buffer) => (stderr = (stderr + chunk.toString()).slice(-1000)));
  started.stdout.resume();
  try {
    const missing = (await said()) as readonly string[] | null;
    if (missing === null) {
      const { code, signal } = await started.exited;
      return `the container ended with ${signal ?? `exit code ${code}`}${stderr === "" ? "" : `: ${stderr.trim()}`}`;
    }
    if (missing.length > 0) return `a container has not ${missing.join(", ")}`;
    const outside = lookFromOutside(new Cgroup(cgroups, groupNameOf(folder, "probe")), started);
    if (outside !== null) return outside;
    const ask = async (line: string): Promise<unknown> => {
      started.socket.write(`${line}\n`);
      return await said();
    };
    const file = join(await started.place(task), "file");
    if ((await ask(`read ${file}`)) !== "placed")
      return "a container does not see files that are given to it while it runs";
    const network = trialAddress === null ? null : await tryNetwork(started, ask, trialAddress);
    if (network !== null) return network;
    started.socket.write("fill\n");
    const exit = await started.exited;
    return exit.oomKilled ? null : "a container that uses more than its memory is not ended";
  } finally {
    clearTimeout(timer);
    started.kill();
    await started.exited;
  }
}

/** There and back through the whole host, whose own firewall may think otherwise of it. */
async function tryNetwork(
  started: SandboxProcess,
  ask: (line: string) => Promise<unknown>,
  address: string,
): Promise<string | null> {
  const sealed = await ask(`connect ${address}`);
  // Refusals by ICMP are few a second on a host, so there may be none.
  if (sealed !== "EHOSTUNREACH" && sealed !== "no answer")
    return `a container that may reach nothing is told "${String(sealed)}" when it tries`;
  await started.setNetwork("internet");
  const reached = await ask(`connect ${address}`);
  if (reached !== "ECONNREFUSED") {
    return `what a container sends to the network, or the answer, is lost on this host (${String(reached)}): its firewall must forward from and to the interfaces aloft*`;
  }
  const resolved = await ask("resolve aloft.invalid");
  if (resolved === "ENOTFOUND") return null;
  return `a container does not reach its resolver on this host (${String(resolved)}): the firewall must let the interfaces aloft* in`;
}

function lookFromOutside(group: Cgroup, started: SandboxProcess): string | null {
  if (group.processes().length === 0) return "a container does not run in the cgroup that it was given";
  const { memoryBytes, swapBytes, processes } = group.limits();
  if (memoryBytes !== probeMiB * MiB)
    return `its cgroup's memory limit is ${memoryBytes} bytes instead of ${probeMiB * MiB}`;
  if (swapBytes !== null && swapBytes !== 0) return `its cgroup may use ${swapBytes} bytes of swap`;
  if (processes !== limits.processesPerInstance) return `its cgroup may have ${processes} processes`;
  return (started.memoryBytes() ?? 0) > 0 ? null : "its cgroup does not tell its memory";
}

/** Each call resolves with the next JSON line, null when there is none any more. */
function listen({ socket }: SandboxProcess): () => Promise<unknown> {
  let text = "";
  let isOver = false;
  socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
  socket.on("error", () => {});
  socket.on("close", () => (isOver = true));
  return async () => {
    for (;;) {
      const end = text.indexOf("\n");
      if (end >= 0) {
        const line = text.slice(0, end);
        text = text.slice(end + 1);
        return JSON.parse(line) as unknown;
      }
      if (isOver) return null;
      await Promise.race([once(socket, "data"), once(socket, "close")]);
    }
  };
}

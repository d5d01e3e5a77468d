/**
 * Where the kernel's control groups of instances are, and what the driver reads and writes there, for both versions.
 *
 * Instances stand beside each other and below the server's own limits, so that whoever bounds the server bounds them too:
 *
 *   version 1 (and hybrid)   MOUNT/OWN PATH/NAME in each hierarchy; the server's path may differ between them
 *   version 2                MOUNT/PARENT OF OWN PATH/NAME; a group with processes can have no groups inside
 *
 * Two levels would let all instances together have the processor weight of one process.
 */
import { existsSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { posix } from "node:path";

export interface CgroupPlace {
  readonly version: 1 | 2;
  /** What a bundle's `cgroupsPath` begins with, before the group's name. */
  readonly specPrefix: string;
  /** The folder that holds each instance's group, by controller; "" for hierarchies without one. */
  readonly parents: Readonly<Record<string, string>>;
}

interface Hierarchy {
  readonly mountPoint: string;
  /** What part of the hierarchy is mounted: "/", or a container's own part of it. */
  readonly root: string;
  readonly version: 1 | 2;
  readonly options: readonly string[];
}

const needed = ["memory", "cpu", "pids"] as const;

/** `self`: the text of /proc/self/cgroup; `mountinfo`: of /proc/self/mountinfo. Throws an Error that names what is missing. */
export function findCgroupPlace(self: string, mountinfo: string): CgroupPlace {
  const hierarchies = mountinfo
    .split("\n")
    .map(parseMount)
    .filter((one) => one !== null);
  const lines = self
    .split("\n")
    .map(parseSelf)
    .filter((one) => one !== null);
  const parents: Record<string, string> = {};
  const ownPaths = new Set<string>();
  const hasVersion1 = hierarchies.some(
    ({ version, options }) => version === 1 && needed.some((name) => options.includes(name)),
  );
  for (const { controllers, path } of lines) {
    const isUnified = controllers.length === 0;
    const hierarchy = hierarchies.find(({ version, options }) =>
      isUnified ? version === 2 : version === 1 && controllers.every((name) => options.includes(name)),
    );
    if (hierarchy === undefined) continue;
    const below = posix.join("/", posix.relative(hierarchy.root, path));
    if (isUnified && !hasVersion1) {
      const parent = posix.dirname(below);
      for (const name of needed) parents[name] = folderAt(hierarchy, parent);
      return { version: 2, specPrefix: parent === "/" ? "/" : `${parent}/`, parents };
    }
    ownPaths.add(below);
    const folder = folderAt(hierarchy, below);
    for (const name of isUnified ? ["unified"] : controllers) parents[name] = folder;
  }
  for (const name of needed) {
    if (parents[name] === undefined) throw new Error(`the cgroup controller ${name} is not mounted`);
  }
  // Where all paths are the same an absolute one says the same thing to every runtime; else runc takes the own ones.
  const [only] = ownPaths;
  const specPrefix = ownPaths.size === 1 && only !== undefined ? posix.join(only, "/") : "";
  return { version: 1, specPrefix, parents };
}

function folderAt({ mountPoint }: Hierarchy, path: string): string {
  return path === "/" ? mountPoint : posix.join(mountPoint, path);
}

/** 0-based fields: 3 root, 4 mount point; after "-": type, source, super options. */
function parseMount(line: string): Hierarchy | null {
  const [before, after] = line.split(" - ");
  const [type, , options = ""] = after?.split(" ") ?? [];
  const fields = before?.split(" ") ?? [];
  const [, , , root, mountPoint] = fields;
  if (root === undefined || mountPoint === undefined) return null;
  if (type !== "cgroup" && type !== "cgroup2") return null;
  return { mountPoint, root, version: type === "cgroup" ? 1 : 2, options: options.split(",") };
}

/** "4:memory:/path", "9:name=systemd:/", "0::/path" */
function parseSelf(line: string): { controllers: readonly string[]; path: string } | null {
  const match = /^\d+:([^:]*):(.*)$/.exec(line);
  if (match?.[1] === undefined || match[2] === undefined) return null;
  return { controllers: match[1] === "" ? [] : match[1].split(","), path: match[2] };
}

/** The group of one instance. It is made by the runtime, and removed here. */
export class Cgroup {
  readonly #version: 1 | 2;
  readonly #folders: Readonly<Record<string, string>>;

  constructor(place: CgroupPlace, name: string) {
    this.#version = place.version;
    this.#folders = Object.fromEntries(
      Object.entries(place.parents).map(([controller, parent]) => [controller, posix.join(parent, name)]),
    );
  }

  /** Every folder there may be, each once. */
  get folders(): readonly string[] {
    return [...new Set(Object.values(this.#folders))];
  }

  /** Numbers of the processes in it, as the host sees them. */
  processes(): number[] {
    return numbersIn(this.#read("pids", "cgroup.procs"));
  }

  threads(): number[] {
    return numbersIn(this.#read("pids", this.#version === 1 ? "tasks" : "cgroup.threads"));
  }

  /** What belongs to it alone: its processes' own pages and the files of its /tmp; null when it is gone. */
  memoryBytes(): number | null {
    const text = this.#read("memory", "memory.stat");
    if (text === null) return null;
    if (this.#version === 1) return statOf(text, "total_rss") + statOf(text, "total_shmem");
    return statOf(text, "anon") + statOf(text, "shmem");
  }

  /** How many of its processes the kernel has ended for want of memory. */
  oomKills(): number {
    const text = this.#read("memory", this.#version === 1 ? "memory.oom_control" : "memory.events");
    return text === null ? 0 : statOf(text, "oom_kill");
  }

  limits(): { memoryBytes: number; swapBytes: number | null; processes: number } {
    const isV1 = this.#version === 1;
    const total = Number(this.#read("memory", isV1 ? "memory.limit_in_bytes" : "memory.max") ?? Number.NaN);
    const swap = this.#read("memory", isV1 ? "memory.memsw.limit_in_bytes" : "memory.swap.max");
    const swapBytes = swap === null ? null : isV1 ? Number(swap) - total : Number(swap);
    return { memoryBytes: total, swapBytes, processes: Number(this.#read("pids", "pids.max") ?? Number.NaN) };
  }

  /** `shares` as of version 1, where a group has 1024 unless told. false: there is no group yet, or no more. */
  setCpuShares(shares: number): boolean {
    const isV1 = this.#version === 1;
    return this.#write("cpu", isV1 ? "cpu.shares" : "cpu.weight", isV1 ? shares : weightOfShares(shares));
  }

  /** Sends SIGKILL to everything in it; how many there were. */
  kill(): number {
    const processes = this.processes();
    if (processes.length > 0 && this.#version === 2 && this.#write("pids", "cgroup.kill", 1)) return processes.length;
    for (const pid of processes) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It has ended in this moment.
      }
    }
    return processes.length;
  }

  /** false: somebody is still in it. */
  remove(): boolean {
    return this.folders.map(removeGroup).every(Boolean);
  }

  #read(controller: string, file: string): string | null {
    try {
      return readFileSync(`${this.#folders[controller]}/${file}`, "latin1");
    } catch {
      return null;
    }
  }

  #write(controller: string, file: string, value: number): boolean {
    try {
      writeFileSync(`${this.#folders[controller]}/${file}`, String(value));
      return true;
    } catch {
      return false;
    }
  }
}

/** With what somebody made inside. true when it is gone. */
export function removeGroup(folder: string): boolean {
  if (!existsSync(folder)) return true;
  try {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (entry.isDirectory()) removeGroup(`${folder}/${entry.name}`);
    }
    rmdirSync(folder);
    return true;
  } catch {
    return !existsSync(folder);
  }
}

/** As runc and crun convert them: 2..262144 to 1..10000. */
function weightOfShares(shares: number): number {
  return Math.max(1, 1 + Math.trunc(((shares - 2) * 9999) / 262_142));
}

function statOf(text: string, name: string): number {
  return Number(new RegExp(`^${name} (\\d+)$`, "m").exec(text)?.[1] ?? 0);
}

function numbersIn(text: string | null): number[] {
  return text === null
    ? []
    : text
        .split("\n")
        .filter((line) => line !== "")
        .map(Number);
}

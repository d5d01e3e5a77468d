/**
 * The processes of this instance: the runtime, the extensions and whatever they started. On Linux they are found in /proc
 * by descent from this process and, where it leads its process group as it does in a sandbox, by that group. One that left
 * both (a daemon with a session of its own and a dead parent) is not found; behind the `oci` driver's wall it ends with the
 * instance all the same.
 */
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from "node:fs";
import type { Socket } from "node:net";

interface Stat {
  readonly pid: number;
  readonly parent: number;
  readonly group: number;
}

/** All but this one. Empty where there is no /proc. */
export function ownProcesses(): readonly number[] {
  const all = allProcesses();
  // Of a group that somebody else leads, most are not ours to end.
  const found = new Set(all.filter(({ group }) => group === process.pid).map(({ pid }) => pid));
  found.add(process.pid);
  // A parent may stand behind its child in the list.
  for (let before = 0; before !== found.size;) {
    before = found.size;
    for (const { pid, parent } of all) if (found.has(parent)) found.add(pid);
  }
  found.delete(process.pid);
  return [...found];
}

/** A process and all that descend from it. */
export function killTree(root: number, signal: NodeJS.Signals): void {
  const found = new Set([root]);
  const all = allProcesses();
  for (let before = 0; before !== found.size;) {
    before = found.size;
    for (const { pid, parent } of all) if (found.has(parent)) found.add(pid);
  }
  for (const pid of found) kill(pid, signal);
}

/** Whatever is left; again, because one that is being ended may have started another. */
export function killOwnProcesses(): void {
  for (let round = 0; round < 10; round += 1) {
    const pids = ownProcesses();
    if (pids.length === 0) return;
    for (const pid of pids) kill(pid, "SIGKILL");
  }
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended.
  }
}

/**
 * Whether the other end of a loopback connection is held by a process of this instance. Under the `process` driver all
 * instances share one loopback, and each has only this between it and its neighbours' programs.
 */
export function isOwnConnection(socket: Socket): boolean {
  // The first process of a container: its loopback is its own. Looking costs some milliseconds on a machine with many sockets.
  if (process.pid === 1) return true;
  const { remotePort, localPort } = socket;
  if (remotePort === undefined || localPort === undefined) return false;
  // A system without such lists is a developer's machine.
  if (!existsSync(loopbacks[0].file)) return true;
  // The second list is read only for what the first one does not have: each takes a millisecond.
  const inode = inodeOf(loopbacks[0], remotePort, localPort) ?? inodeOf(loopbacks[1], remotePort, localPort);
  if (inode === null) return false;
  const target = `socket:[${inode}]`;
  // What descends from here is found without reading of every process of the machine.
  return descendants(process.pid).some((pid) => holds(pid, target)) || ownProcesses().some((pid) => holds(pid, target));
}

function descendants(pid: number): number[] {
  try {
    const children = readdirSync(`/proc/${pid}/task`)
      .flatMap((thread) => readText(`/proc/${pid}/task/${thread}/children`).split(" "))
      .filter((one) => one !== "")
      .map(Number);
    return children.flatMap((child) => [child, ...descendants(child)]);
  } catch {
    return [];
  }
}

/** 127.0.0.1 as the kernel writes it, and as programs whose sockets are all of IPv6 (Java) reach it. */
interface Loopback {
  readonly file: string;
  readonly address: string;
}

const loopbacks = [
  { file: "/proc/self/net/tcp", address: "0100007F" },
  { file: "/proc/self/net/tcp6", address: "0000000000000000FFFF00000100007F" },
] as const satisfies readonly Loopback[];

/** As much of a list as the kernel gives at once. */
const listed = Buffer.allocUnsafeSlow(64 * 1024);
const lineBytesMax = 256;

/** The socket from one port of the loopback to another, as the kernel lists it; null when it is gone. Reads no further than that. */
function inodeOf({ file, address }: Loopback, fromPort: number, toPort: number): string | null {
  const end = (port: number): string => `${address}:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const ends = `${end(fromPort)} ${end(toPort)} `;
  let descriptor: number;
  try {
    descriptor = openSync(file, "r");
  } catch {
    return null;
  }
  try {
    let rest = "";
    for (;;) {
      const bytes = readSync(descriptor, listed, 0, listed.length, null);
      if (bytes === 0) return null;
      const text = rest + listed.toString("latin1", 0, bytes);
      const at = text.indexOf(ends);
      const lineEnd = at < 0 ? -1 : text.indexOf("\n", at);
      // Behind both addresses: state, queues, timer, retransmits, uid, timeout, inode.
      if (lineEnd >= 0) return text.slice(at, lineEnd).trim().split(/\s+/)[8] ?? null;
      rest = text.slice(-lineBytesMax);
    }
  } finally {
    closeSync(descriptor);
  }
}

function holds(pid: number, target: string): boolean {
  try {
    const folder = `/proc/${pid}/fd`;
    return readdirSync(folder).some((name) => {
      try {
        return readlinkSync(`${folder}/${name}`) === target;
      } catch {
        return false;
      }
    });
  } catch {
    return false;
  }
}

function allProcesses(): Stat[] {
  const found: Stat[] = [];
  let names: string[];
  try {
    names = readdirSync("/proc");
  } catch {
    return found;
  }
  for (const name of names) {
    const pid = Number(name);
    if (!(pid > 0)) continue;
    const stat = readText(`/proc/${name}/stat`);
    // The second field is the name in brackets and may hold anything.
    const [state, parent, group] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (stat !== "" && state !== "Z") found.push({ pid, parent: Number(parent), group: Number(group) });
  }
  return found;
}

function readText(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}

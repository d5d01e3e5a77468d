/**
 * What a server changes of its host's network, and takes back: an address on the loopback device, by which its slot is its
 * own; a table of rules; forwarding, where the host did not forward before. It is written down first, so that whoever
 * cleans up after a killed server knows it.
 *
 * Servers of one host share the decision about forwarding: the first one that switches it on leaves a mark, the last one to
 * end takes both away.
 */
import { spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { networkInterfaces } from "node:os";
import { dirname, join } from "node:path";
import { startTimeOf } from "../../start-time.ts";
import { type AddressRange, contains, parseAddress } from "../../../lib/ipv4.ts";
import { interfacePrefix, type Slot, slotCount, slotOf } from "./address-plan.ts";
import { namespaceFolder } from "./namespaces.ts";
import { programEnvironment } from "./programs.ts";

interface Note {
  readonly subnet: AddressRange;
  readonly slot: number;
  readonly pid: number;
  /** Of the process, so that a number that somebody else has now is told apart. */
  readonly startedAt: string;
  /** Where process numbers and interfaces have their meaning. */
  readonly namespaces: string;
}

const noteFile = "network.json";
const forwardingFile = "/proc/sys/net/ipv4/ip_forward";
/** Of this network namespace: forwarding is a matter of each. */
const markFile = `/run/aloft/forwarding-${existsSync("/proc/self/ns/net") ? statSync("/proc/self/ns/net").ino : 0}`;
const lockFile = "/run/aloft/network.lock";
const lockTriesMax = 2000;
const lockPauseMs = 5;

export interface HostSide {
  readonly slot: Slot;
  /** Nothing of others is to be forwarded. */
  readonly forwardsOnlyOurs: boolean;
}

/** Throws an Error that says what is missing. */
export function claimHostSide(runFolder: string, subnet: AddressRange): HostSide {
  mkdirSync(runFolder, { recursive: true });
  return locked(() => {
    releaseAbandoned(dirname(runFolder));
    const slot = claimSlot(subnet);
    const owner = { pid: process.pid, startedAt: startTimeOf(process.pid), namespaces: ownNamespaces() };
    writeFileSync(join(runFolder, noteFile), JSON.stringify({ subnet, slot: slot.number, ...owner } satisfies Note));
    return { slot, forwardsOnlyOurs: switchForwardingOn() };
  });
}

/** What killed servers left whose data folders nobody has opened since: else every one of them would keep a slot. */
function releaseAbandoned(parent: string): void {
  for (const name of readdirSync(parent)) {
    const folder = join(parent, name);
    const note = readNote(folder);
    if (note === null || note.namespaces !== ownNamespaces()) continue;
    if (startTimeOf(note.pid) !== note.startedAt) release(folder, note);
  }
}

function ownNamespaces(): string {
  return ["net", "pid"].map((kind) => readlinkSync(`/proc/self/ns/${kind}`)).join(" ");
}

/** Removes all of it, and what there is of namespaces and rules. Nothing is there: nothing happens. */
export function releaseHostSide(runFolder: string): void {
  const note = readNote(runFolder);
  if (note !== null) locked(() => release(runFolder, note));
  rmSync(runFolder, { recursive: true, force: true });
}

function release(runFolder: string, note: Note): void {
  const { prefix, outsideName, table, gateway } = slotOf(note.subnet, note.slot);
  const all = existsSync(namespaceFolder) ? readdirSync(namespaceFolder) : [];
  const names = all.filter((name) => name.startsWith(prefix) || name === outsideName);
  ip("-force", "-batch", "-")(names.flatMap((name) => [`link del ${name}`, `netns del ${name}`]).join("\n") + "\n");
  run("nft", ["delete", "table", "inet", table]);
  ip("addr", "del", `${gateway}/32`, "dev", "lo")();
  rmSync(runFolder, { recursive: true, force: true });
  if (serversOnHost() > 0 || !existsSync(markFile)) return;
  writeFileSync(forwardingFile, "0");
  rmSync(markFile, { force: true });
}

function claimSlot(subnet: AddressRange): Slot {
  const taken = ownAddresses().filter(({ address }) => contains(subnet, { first: address, bits: 32 }));
  // An address with a label stands under that.
  const foreign = taken.find(({ device }) => device !== "lo" && !device.startsWith(`lo:${interfacePrefix}`));
  if (foreign !== undefined) {
    throw new Error(`${foreign.device} has an address of the range for instances; give another with --sandbox-subnet`);
  }
  const first = Math.floor(Math.random() * slotCount);
  let failure = "";
  for (let n = 0; n < slotCount; n += 1) {
    const slot = slotOf(subnet, (first + n) % slotCount);
    if (taken.some(({ address }) => contains(slot.range, { first: address, bits: 32 }))) continue;
    if (existsSync(`/sys/class/net/${slot.prefix}1`)) continue;
    const { status, stderr } = ip("addr", "add", `${slot.gateway}/32`, "dev", "lo", "label", `lo:${slot.table}`)();
    if (status === 0) return slot;
    failure = stderr.trim();
  }
  throw new Error(failure === "" ? `${slotCount} servers use the range for instances already` : failure);
}

function ownAddresses(): { readonly device: string; readonly address: number }[] {
  return Object.entries(networkInterfaces()).flatMap(([device, addresses]) =>
    (addresses ?? []).flatMap(({ address }) => {
      const number = parseAddress(address);
      return number === null ? [] : [{ device, address: number }];
    }),
  );
}

/** Whether servers of this host are the only reason to forward. */
function switchForwardingOn(): boolean {
  if (readFileSync(forwardingFile, "utf8").trim() !== "0") return existsSync(markFile);
  writeFileSync(markFile, "");
  try {
    writeFileSync(forwardingFile, "1");
  } catch (error) {
    rmSync(markFile, { force: true });
    const { code } = error as NodeJS.ErrnoException;
    throw new Error(`net.ipv4.ip_forward is 0 and cannot be changed here (${code}); set it to 1`, { cause: error });
  }
  return true;
}

function serversOnHost(): number {
  const { stdout } = ip("-o", "-4", "addr", "show", "dev", "lo")();
  return [...stdout.matchAll(new RegExp(`\\blo:${interfacePrefix}\\d+\\b`, "g"))].length;
}

function readNote(runFolder: string): Note | null {
  try {
    return JSON.parse(readFileSync(join(runFolder, noteFile), "utf8")) as Note;
  } catch {
    return null;
  }
}

function ip(
  ...parameters: readonly string[]
): (input?: string) => { status: number | null; stdout: string; stderr: string } {
  return (input) => run("ip", parameters, input);
}

/** At the start and the end of a server only: it waits. */
function run(program: string, parameters: readonly string[], input = ""): ReturnType<ReturnType<typeof ip>> {
  return spawnSync(program, parameters, { env: programEnvironment, input, encoding: "utf8" });
}

/** One server of this host at a time. A lock whose holder has ended is nobody's. */
function locked<T>(act: () => T): T {
  mkdirSync(dirname(lockFile), { recursive: true });
  for (let tries = 0; ; tries += 1) {
    try {
      const descriptor = openSync(lockFile, "wx");
      writeFileSync(descriptor, String(process.pid));
      closeSync(descriptor);
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      if (tries >= lockTriesMax || isHolderGone()) rmSync(lockFile, { force: true });
      else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, lockPauseMs);
    }
  }
  try {
    return act();
  } finally {
    rmSync(lockFile, { force: true });
  }
}

function isHolderGone(): boolean {
  try {
    const pid = Number(readFileSync(lockFile, "utf8"));
    return pid > 0 && !existsSync(`/proc/${pid}`);
  } catch {
    return false;
  }
}

/**
 * What a server that was killed left behind: containers that go on, their groups, folders, the runtime's notes. Whoever
 * opens the same folder next knows that nobody else uses it (the data folder is locked), so everything there may go.
 */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { removeGroup } from "./cgroups.ts";

/** A server started from another place of the system has its groups elsewhere, so where they are is written down. */
interface CgroupNote {
  readonly parents: readonly string[];
  /** Of the names of the groups. */
  readonly prefix: string;
}

const noteFile = "cgroups.json";
/** The kernel frees a killed process of 16 GiB in a few hundred milliseconds. */
const removeTriesMax = 2000;
const removePauseMs = 5;

export function noteCgroups(runFolder: string, note: CgroupNote): void {
  writeFileSync(join(runFolder, noteFile), JSON.stringify(note), { mode: 0o600 });
}

export function endLeftovers(runFolder: string, folder: string): void {
  const note = readNote(runFolder);
  if (note !== null) {
    const groups = note.parents.flatMap((parent) => groupsIn(parent, note.prefix));
    for (let tries = 0; tries < removeTriesMax; tries += 1) {
      for (const group of groups) killAll(group);
      if (groups.map(removeGroup).every(Boolean)) break;
      sleep(removePauseMs);
    }
  }
  rmSync(runFolder, { recursive: true, force: true });
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true, force: true });
}

function readNote(runFolder: string): CgroupNote | null {
  try {
    return JSON.parse(readFileSync(join(runFolder, noteFile), "utf8")) as CgroupNote;
  } catch {
    return null;
  }
}

function groupsIn(parent: string, prefix: string): string[] {
  if (!existsSync(parent)) return [];
  const names = readdirSync(parent).filter((name) => name.startsWith(prefix));
  return names.map((name) => join(parent, name));
}

function killAll(group: string): void {
  let text = "";
  try {
    text = readFileSync(join(group, "cgroup.procs"), "latin1");
  } catch {
    // It is gone.
  }
  for (const line of text.split("\n")) {
    if (line === "") continue;
    try {
      process.kill(Number(line), "SIGKILL");
    } catch {
      // It has ended in this moment.
    }
  }
}

/** Of the whole thread: nothing else of the server runs yet. */
function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

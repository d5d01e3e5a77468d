/** An Aloft server under test: started from this checkout as a user would start it, spoken to through its public API. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { InvocationRecord } from "../../src/contract/observing.ts";
import type { StatusJson } from "../../src/contract/api.ts";
import type { Account, ProcessRef } from "../lib/contestant.ts";
import { commandLine, treeOf } from "../lib/processes.ts";
import { endWithUs, stopTree } from "../lib/server-process.ts";

export interface AloftOptions {
  /** Kept when given, else a temporary folder that goes with the server. */
  readonly dataFolder?: string;
  /** Flags beside the ports and the data folder, such as `["--zygotes", "0"]`; none is "default settings". */
  readonly flags?: readonly string[];
}

const startMs = 60_000;
const settleMs = 60_000;
const pollMs = 50;
const errorCharsKept = 4000;

export const binPath = fileURLToPath(new URL("../../bin/aloft", import.meta.url));

export class AloftServer {
  readonly url: string;
  readonly adminUrl: string;
  readonly token: string;
  /** From starting the program to its ready line. */
  readonly startUs: number;
  #child: ChildProcess;
  #temporary: string | null;

  private constructor(child: ChildProcess, ready: Ready, token: string, startUs: number, temporary: string | null) {
    this.#child = child;
    this.url = ready.http;
    this.adminUrl = ready.admin;
    this.token = token;
    this.startUs = startUs;
    this.#temporary = temporary;
  }

  static async start(options: AloftOptions = {}): Promise<AloftServer> {
    const temporary = options.dataFolder === undefined ? await mkdtemp(join(tmpdir(), "aloft-bench-data-")) : null;
    const dataFolder = options.dataFolder ?? temporary ?? "";
    const token = randomBytes(24).toString("hex");
    const startedMs = performance.now();
    const child = spawn(
      process.execPath,
      [
        binPath,
        "serve",
        "--data",
        dataFolder,
        "--port",
        "0",
        "--admin-port",
        "0",
        "--json",
        "--sandbox",
        "process",
        ...(options.flags ?? []),
      ],
      {
        env: { PATH: process.env["PATH"], HOME: process.env["HOME"], ALOFT_ADMIN_TOKEN: token },
        stdio: ["ignore", "pipe", "pipe"],
      },
    );
    endWithUs(child);
    try {
      const ready = await readyLine(child);
      return new AloftServer(child, ready, token, (performance.now() - startedMs) * 1000, temporary);
    } catch (error) {
      await stopTree(child);
      if (temporary !== null) await rm(temporary, { recursive: true });
      throw error;
    }
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  status(): Promise<StatusJson> {
    return this.get<StatusJson>("/v1/status");
  }

  record(invocationId: string): Promise<InvocationRecord> {
    return this.get<InvocationRecord>(`/v1/invocations/${invocationId}`);
  }

  async get<T>(path: string): Promise<T> {
    const response = await fetch(this.adminUrl + path, { headers: { authorization: `Bearer ${this.token}` } });
    if (!response.ok) throw new Error(`GET ${path} was answered ${response.status}: ${await response.text()}`);
    return (await response.json()) as T;
  }

  /** The sum of a counter of the server's metrics over all labels, or over those that are given as they are written there. */
  async counter(name: string, labels = ""): Promise<number> {
    const response = await fetch(`${this.adminUrl}/v1/metrics`, { headers: { authorization: `Bearer ${this.token}` } });
    const samples = (await response.text()).matchAll(/^(\w+)(\{.*\})? (\d+)$/gm);
    let sum = 0;
    for (const [, own, ownLabels = "", value] of samples) {
      if (own === name && (labels === "" || labels === ownLabels)) sum += Number(value);
    }
    return sum;
  }

  /** The account of records once it has come to rest: all accepted are written or dropped, and no more come in. */
  async account(): Promise<Account> {
    let before = -1;
    return this.until("every record is written", ({ observe }) => {
      const { recordsAccepted: accepted, recordsWritten: written, recordsDropped: dropped } = observe;
      const atRest = accepted === before && written + dropped === accepted;
      before = accepted;
      return atRest ? { accepted, written, dropped } : null;
    });
  }

  /** Polls the status until `read` returns something else than null. */
  async until<T>(what: string, read: (status: StatusJson) => T | null): Promise<T> {
    const deadlineMs = performance.now() + settleMs;
    for (;;) {
      const value = read(await this.status());
      if (value !== null) return value;
      if (performance.now() > deadlineMs) throw new Error(`waited ${settleMs} ms until ${what}`);
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  }

  /** The server, and what it has started: what runs from `guest/` is a function's process, zygotes among them. */
  processes(): ProcessRef[] {
    return treeOf(this.pid).map((pid) => {
      if (pid === this.pid) return { role: "door", pid };
      return { role: /\/guest\//.test(commandLine(pid)) ? "function" : "worker", pid };
    });
  }

  async stop(): Promise<void> {
    await stopTree(this.#child);
    if (this.#temporary !== null) await rm(this.#temporary, { recursive: true, force: true });
  }

  /** As a power cut would: no chance to tidy up. */
  async kill(): Promise<void> {
    const exited = once(this.#child, "exit");
    const tree = treeOf(this.pid);
    for (const pid of tree) if (pid !== 0) process.kill(pid, "SIGKILL");
    await exited;
  }
}

interface Ready {
  readonly http: string;
  readonly admin: string;
}

/** The first line that is a JSON object with both addresses. Later output is read and thrown away, so that no pipe fills. */
async function readyLine(child: ChildProcess): Promise<Ready> {
  if (child.stdout === null || child.stderr === null) throw new Error("no pipes");
  let errors = "";
  child.stderr.on("data", (chunk: Buffer) => (errors = (errors + chunk.toString()).slice(-errorCharsKept)));
  const lines = createInterface({ input: child.stdout });
  const { promise, resolve, reject } = Promise.withResolvers<Ready>();
  const timer = setTimeout(() => reject(new Error(`no ready line within ${startMs} ms\n${errors}`)), startMs);
  lines.on("line", (line) => {
    const ready = parseReady(line);
    if (ready !== null) resolve(ready);
  });
  child.once("exit", (code) => reject(new Error(`aloft serve exited with ${code}\n${errors}`)));
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
  }
}

function parseReady(line: string): Ready | null {
  try {
    const value = JSON.parse(line) as Partial<Ready> | null;
    const { http, admin } = value ?? {};
    return typeof http === "string" && typeof admin === "string" ? { http, admin } : null;
  } catch {
    return null;
  }
}

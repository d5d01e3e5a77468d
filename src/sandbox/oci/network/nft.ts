/** The nft program: for a whole set of rules a run of its own, for the small changes of every day one that stays. */
import { type ChildProcess, spawn } from "node:child_process";
import { doneChain } from "./ruleset.ts";
import { programEnvironment, runProgram } from "./programs.ts";

/** All or nothing. Rejects with what nft says. */
export async function runNft(rules: string): Promise<void> {
  await runProgram("nft", ["-f", "-"], rules);
}

interface Asked {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/**
 * An nft that waits for lines. Measured: 1 ms for a line, where a run of nft takes 30 ms. It is started when it is needed,
 * and again should it end.
 */
export class NftSession {
  readonly #table: string;
  readonly #asked: Asked[] = [];
  #child: ChildProcess | null = null;
  #said = "";

  constructor(table: string) {
    this.#table = table;
  }

  /** One line of commands, all or nothing. */
  async run(line: string): Promise<void> {
    this.#child ??= this.#start();
    const { stdin } = this.#child;
    // What is listed comes after any complaint about the line before it.
    stdin?.write(`${line}\nlist chain inet ${this.#table} ${doneChain}\n`);
    await new Promise<void>((resolve, reject) => this.#asked.push({ resolve, reject }));
  }

  close(): void {
    this.#child?.kill("SIGKILL");
    this.#child = null;
  }

  #start(): ChildProcess {
    // Both outputs in one pipe, in the order in which they were written.
    const child = spawn("/bin/sh", ["-c", "exec nft -i 2>&1"], {
      env: programEnvironment,
      stdio: ["pipe", "pipe", "ignore"],
    });
    this.#said = "";
    child.stdin.on("error", () => {});
    child.stdout.on("data", (chunk: Buffer) => this.#hear(chunk.toString()));
    child.once("error", () => this.#ended(child));
    child.once("close", () => this.#ended(child));
    return child;
  }

  #hear(text: string): void {
    this.#said += text;
    const end = new RegExp(`chain ${doneChain} \\{\\s*\\}\\s*\\}`);
    for (let found = end.exec(this.#said); found !== null; found = end.exec(this.#said)) {
      const before = this.#said.slice(0, found.index);
      this.#said = this.#said.slice(found.index + found[0].length);
      const asked = this.#asked.shift();
      const complaint = /Error: .*/.exec(before)?.[0];
      if (complaint === undefined) asked?.resolve();
      else asked?.reject(new Error(complaint));
    }
  }

  #ended(child: ChildProcess): void {
    if (this.#child === child) this.#child = null;
    for (const { reject } of this.#asked.splice(0)) reject(new Error(`nft ended: ${this.#said.slice(0, 500)}`));
  }
}

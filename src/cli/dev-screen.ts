/** What `dev` shows: for people line by line, with `--json` one event a line. */
import type { FunctionJson } from "../contract/api.ts";
import { problemOf } from "../contract/errors.ts";
import type { AloftError } from "../contract/errors.ts";
import type { InvocationRecord, LogLine } from "../contract/observing.ts";
import type { DevAppEvents } from "./dev-app.ts";
import type { DeployOutcome } from "./deploying.ts";
import { logText, recordText, triggersText } from "./formatting.ts";
import { RequestLines } from "./request-lines.ts";
import { harmless } from "./terminal.ts";
import type { Terminal } from "./terminal.ts";

export class DevScreen {
  readonly #terminal: Terminal;
  readonly #json: boolean;
  readonly #lines: RequestLines;
  #functions: { readonly app: string; readonly functions: readonly FunctionJson[] }[] = [];
  #isReady = false;

  constructor(terminal: Terminal, json: boolean) {
    this.#terminal = terminal;
    this.#json = json;
    this.#lines = new RequestLines({
      printRecord: (record) => terminal.print(recordText(record, terminal.paint)),
      printLog: (line) => terminal.print(logText(line, terminal.paint)),
    });
  }

  addRecord(record: InvocationRecord): void {
    if (this.#json) this.#event("request", { record });
    else this.#lines.addRecord(record);
  }

  addLog(line: LogLine): void {
    if (this.#json) this.#event("log", { line });
    else this.#lines.addLog(line);
  }

  warn(message: string): void {
    if (this.#json) this.#event("warning", { message });
    else this.#terminal.note(`${this.#terminal.paintNote("yellow", "warning")} ${harmless(message)}`);
  }

  /** Addresses and functions, once the first builds are through. */
  ready(facts: { readonly http: string; readonly admin: string }, tryLines: readonly string[]): void {
    this.#isReady = true;
    if (this.#json) return this.#event("ready", facts);
    const { paint } = this.#terminal;
    this.#terminal.print(`${paint("green", "ready")} ${paint("bold", facts.http)}  control API ${facts.admin}`);
    for (const { app, functions } of this.#functions) this.#printApp(app, functions);
    if (tryLines.length > 0) this.#terminal.print(`\ntry:\n${tryLines.map((line) => `  ${line}`).join("\n")}`);
    this.#terminal.print(paint("dim", "\nwatching for changes; Ctrl-C stops"));
  }

  eventsFor(label: string): DevAppEvents {
    return {
      deployed: (outcome, tookMs, first) => this.#deployed(outcome, tookMs, first),
      failed: (error, serving) => this.#failed(label, error, serving),
      noted: (text) => {
        if (this.#json) this.#event("note", { app: label, text });
        else this.#terminal.print(`${this.#terminal.paint("bold", label)} ${text}`);
      },
    };
  }

  close(): void {
    this.#lines.close();
  }

  #deployed({ deployed }: DeployOutcome, tookMs: number, first: boolean): void {
    const { app, functions } = deployed;
    const ms = Math.round(tookMs);
    if (this.#json) return this.#event("deployed", { ...deployed, tookMs: ms });
    this.#functions = [...this.#functions.filter((each) => each.app !== app), { app, functions }].toSorted((a, b) =>
      a.app < b.app ? -1 : 1,
    );
    // The functions of the first builds stand below the address, all together.
    if (!this.#isReady) return;
    const { paint, print } = { paint: this.#terminal.paint, print: (line: string) => this.#terminal.print(line) };
    if (first) {
      print(`${paint("green", "new app")} in ${ms} ms`);
      this.#printApp(app, functions);
    } else if (deployed.changed) {
      print(`${paint("green", "reloaded")} ${paint("bold", app)} in ${ms} ms`);
    } else {
      print(paint("dim", `${app} is again what is served`));
    }
  }

  #failed(label: string, error: AloftError, serving: boolean): void {
    if (this.#json) return this.#event("failed", { app: label, serving, problem: problemOf(error) });
    const { paint } = this.#terminal;
    const stack = error.detail?.["stack"];
    this.#terminal.print(`${paint("red", "error")} ${paint("bold", label)} ${error.code}: ${harmless(error.message)}`);
    if (typeof stack === "string") this.#terminal.print(paint("dim", harmless(stack)));
    if (error.hint !== undefined) this.#terminal.print(`${paint("cyan", "hint")}  ${harmless(error.hint)}`);
    if (error.code === "INTERNAL" && error.cause instanceof Error) this.#terminal.print(String(error.cause.stack));
    const next = serving
      ? "the last good build keeps serving"
      : "nothing of it is served yet; it is built again on save";
    this.#terminal.print(paint("dim", next));
  }

  #printApp(app: string, functions: readonly FunctionJson[]): void {
    const { paint } = this.#terminal;
    this.#terminal.print(`\n${paint("bold", app)}`);
    const width = Math.max(...functions.map(({ name }) => name.length));
    for (const each of functions) {
      const [url] = each.urls;
      const reach = url === undefined ? paint("dim", `aloft invoke ${app}/${each.name}`) : paint("cyan", url);
      this.#terminal.print(`  ${each.name.padEnd(width)}  ${triggersText(each)}  ${reach}`);
    }
  }

  #event(event: string, members: object): void {
    this.#terminal.printJson({ event, ...members }, "compact");
  }
}

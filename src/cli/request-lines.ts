/**
 * The running account of `dev`: one line a request, what it logged below it. Log lines arrive while the request still
 * runs, its record when it has ended; so they are held a moment for the record, and printed without it when the request
 * takes longer than that: nobody should wait for the logs of a slow one.
 */
import type { InvocationRecord, LogLine } from "../contract/observing.ts";

const holdMs = 200;
/** Of one request; from then on its lines are printed as they come. */
const linesHeldMax = 100;
/** Requests whose lines are held at once. */
const requestsHeldMax = 256;

export interface RequestLinesOptions {
  readonly printRecord: (record: InvocationRecord) => void;
  readonly printLog: (line: LogLine) => void;
}

export class RequestLines {
  readonly #options: RequestLinesOptions;
  readonly #held = new Map<string, { readonly lines: LogLine[]; readonly timer: NodeJS.Timeout }>();

  constructor(options: RequestLinesOptions) {
    this.#options = options;
  }

  addLog(line: LogLine): void {
    const id = line.invocation;
    const held = this.#held.get(id);
    if (held !== undefined) {
      held.lines.push(line);
      if (held.lines.length >= linesHeldMax) this.#release(id);
    } else if (id === "" || this.#held.size >= requestsHeldMax) {
      this.#options.printLog(line);
    } else {
      const timer = setTimeout(() => this.#release(id), holdMs);
      this.#held.set(id, { lines: [line], timer });
    }
  }

  addRecord(record: InvocationRecord): void {
    this.#options.printRecord(record);
    this.#release(record.id);
  }

  /** Prints what is still held. */
  close(): void {
    for (const id of [...this.#held.keys()]) this.#release(id);
  }

  #release(id: string): void {
    const held = this.#held.get(id);
    if (held === undefined) return;
    this.#held.delete(id);
    clearTimeout(held.timer);
    for (const line of held.lines) this.#options.printLog(line);
  }
}

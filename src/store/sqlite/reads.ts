/**
 * Reads on the server's own thread. Those asked for in one turn of the event loop are gathered and done in the next, in one read
 * transaction: it costs as much as a read. After some milliseconds of them the loop gets a turn in between.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";

const turnMs = 2;

interface Read {
  readonly work: () => unknown;
  readonly resolve: (found: never) => void;
  readonly reject: (error: unknown) => void;
}

export class Reads {
  readonly #begin: StatementSync;
  readonly #end: StatementSync;
  /** Transactions since the start. */
  count = 0;
  #gathered: Read[] = [];
  #isDue = false;

  constructor(db: DatabaseSync) {
    this.#begin = db.prepare("BEGIN");
    this.#end = db.prepare("COMMIT");
  }

  /** `work` must have read everything when it returns. */
  add<T>(work: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#gathered.push({ work, resolve, reject });
      if (this.#isDue) return;
      this.#isDue = true;
      setImmediate(this.#readAll);
    });
  }

  /** Does what is gathered, now. */
  finish(): void {
    while (this.#gathered.length > 0) this.#readAll();
  }

  readonly #readAll = (): void => {
    this.#isDue = false;
    const reads = this.#gathered;
    if (reads.length === 0) return;
    this.#gathered = [];
    const untilMs = performance.now() + turnMs;
    let done = 0;
    this.count++;
    this.#begin.run();
    try {
      for (const read of reads) {
        done++;
        try {
          read.resolve(read.work() as never);
        } catch (error) {
          read.reject(error);
        }
        if ((done & 15) === 0 && performance.now() > untilMs) break;
      }
    } finally {
      this.#end.run();
    }
    if (done === reads.length) return;
    this.#gathered = [...reads.slice(done), ...this.#gathered];
    if (this.#isDue) return;
    this.#isDue = true;
    setImmediate(this.#readAll);
  };
}

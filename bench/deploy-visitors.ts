/** Visitors of an app whose versions change under them. Each answer must be a version, and never an older one than before. */
import { Connection, type Target, askOnce } from "./lib/client.ts";

export interface Visited {
  readonly requests: number;
  readonly failed: number;
  readonly firstFailure: string;
  readonly perSecond: number;
}

const connections = 16;
const pauseMs = 5;

export class Visitors {
  #stopping = new AbortController();
  #startedMs = performance.now();
  #requests = 0;
  #failed = 0;
  #firstFailure = "";
  #visits: Promise<void>[];

  constructor(target: Target) {
    const ask = { method: "GET", path: "/", body: "" };
    const kept = Array.from({ length: connections }, () => new Connection(target));
    this.#visits = kept.map((connection) => this.#visit(() => connection.ask(ask)).finally(() => connection.close()));
    this.#visits.push(this.#visit(() => askOnce(target, ask)));
  }

  async stop(): Promise<Visited> {
    this.#stopping.abort();
    await Promise.all(this.#visits);
    const seconds = (performance.now() - this.#startedMs) / 1000;
    return {
      requests: this.#requests,
      failed: this.#failed,
      firstFailure: this.#firstFailure,
      perSecond: this.#requests / seconds,
    };
  }

  async #visit(ask: () => Promise<{ status: number; body: string }>): Promise<void> {
    let newest = 0;
    while (!this.#stopping.signal.aborted) {
      this.#requests += 1;
      try {
        const { status, body } = await ask();
        const version = Number(/^v(\d+)$/.exec(body)?.[1] ?? Number.NaN);
        if (status !== 200 || Number.isNaN(version)) this.#fail(`${status} ${body.slice(0, 500)}`);
        else if (version < newest) this.#fail(`v${version} after v${newest}`);
        else newest = version;
      } catch (error) {
        this.#fail(String(error));
      }
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }

  #fail(what: string): void {
    if (this.#failed === 0) this.#firstFailure = what;
    this.#failed += 1;
  }
}

/**
 * Checks bodies while a load runs: on a connection of its own it sends one request for about every hundred of the load
 * and compares status and body. And exact loads, in which every body is checked and every request counted.
 */
import { type Ask, Connection, type Target } from "./client.ts";

export interface Checked {
  readonly requests: number;
  /** Answers that were not as they must be, or no answers at all. */
  readonly wrong: number;
  /** The first of them, for the reader. */
  readonly firstWrong: string;
}

export interface CheckedAsk extends Ask {
  readonly answer: string;
}

/** Sends at a hundredth of the load's rate until stopped. `stop()` resolves when its last answer is in. */
export function startChecker(target: Target, ask: CheckedAsk, loadPerSecond: number): { stop(): Promise<Checked> } {
  const counter = new Counter(target, ask);
  const intervalMs = Math.max(1, 100_000 / loadPerSecond);
  const stopping = new AbortController();
  const done = (async () => {
    for (let nextMs = performance.now(); !stopping.signal.aborted; nextMs += intervalMs) {
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, nextMs - performance.now())));
      if (stopping.signal.aborted) break;
      await counter.ask();
      // An answer that took longer than the interval is not caught up on: the checker is no load of its own.
      nextMs = Math.max(nextMs, performance.now() - intervalMs);
    }
    counter.close();
  })();
  return {
    async stop(): Promise<Checked> {
      stopping.abort();
      await done;
      return counter.checked();
    },
  };
}

/** Exactly so many requests over so many connections; all of them are answered, or counted as wrong, when it resolves. */
export async function sendExactly(
  target: Target,
  ask: CheckedAsk,
  count: number,
  connections: number,
): Promise<Checked> {
  let left = count;
  const counters = Array.from({ length: connections }, () => new Counter(target, ask));
  await Promise.all(
    counters.map(async (counter) => {
      while (left > 0) {
        left -= 1;
        await counter.ask();
      }
      counter.close();
    }),
  );
  const all = counters.map((counter) => counter.checked());
  return {
    requests: all.reduce((sum, one) => sum + one.requests, 0),
    wrong: all.reduce((sum, one) => sum + one.wrong, 0),
    firstWrong: all.find((one) => one.wrong > 0)?.firstWrong ?? "",
  };
}

class Counter {
  #connection: Connection;
  #ask: CheckedAsk;
  #requests = 0;
  #wrong = 0;
  #firstWrong = "";

  constructor(target: Target, ask: CheckedAsk) {
    this.#connection = new Connection(target);
    this.#ask = ask;
  }

  async ask(): Promise<void> {
    this.#requests += 1;
    try {
      const { status, body } = await this.#connection.ask(this.#ask);
      if (status !== 200 || body !== this.#ask.answer) this.#note(`${status} ${body.slice(0, 200)}`);
    } catch (error) {
      this.#note(String(error));
    }
  }

  close(): void {
    this.#connection.close();
  }

  checked(): Checked {
    return { requests: this.#requests, wrong: this.#wrong, firstWrong: this.#firstWrong };
  }

  #note(what: string): void {
    if (this.#wrong === 0) this.#firstWrong = what;
    this.#wrong += 1;
  }
}

/**
 * All contestants of a run, running side by side. One that still works off its load when its turn is over would take CPU
 * from the next, so its turn ends when it is calm; one that does not calm down, or failed, is started anew.
 */
import type { Contestant, Running } from "./contestant.ts";
import { type CpuSnapshot, cpuBetween, snapshotCpu } from "./processes.ts";

const windowMs = 200;
/** Two ticks of the kernel's clock: timers of an idle server stay below it. */
const calmUs = 20_000;
const calmMs = 10_000;

export class Field {
  #contestants: ReadonlyMap<string, Contestant>;
  #running: Map<string, Running>;

  private constructor(contestants: ReadonlyMap<string, Contestant>, running: Map<string, Running>) {
    this.#contestants = contestants;
    this.#running = running;
  }

  /** A contestant that does not come up is left out, and said so in `notes`. */
  static async start(contestants: readonly Contestant[], notes: string[]): Promise<Field> {
    const running = new Map<string, Running>();
    for (const contestant of contestants) {
      try {
        running.set(contestant.name, await contestant.start());
      } catch (error) {
        notes.push(`${contestant.name} did not start: ${String(error)}`);
      }
    }
    return new Field(new Map(contestants.map((one) => [one.name, one])), running);
  }

  names(): Iterable<string> {
    return this.#running.keys();
  }

  get(name: string): Running {
    const running = this.#running.get(name);
    if (running === undefined) throw new Error(`${name} is not running`);
    return running;
  }

  /** Resolves when the contestant is idle; `failed` says that it must be started anew in any case. */
  async calm(name: string, failed: boolean): Promise<void> {
    if (!failed && (await this.#calmsDown(name))) return;
    const contestant = this.#contestants.get(name);
    if (contestant === undefined) throw new Error(`there is no contestant ${name}`);
    await this.get(name).stop();
    this.#running.set(name, await contestant.start());
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#running.values()].map((one) => one.stop()));
  }

  async #calmsDown(name: string): Promise<boolean> {
    const running = this.get(name);
    const deadlineMs = performance.now() + calmMs;
    for (let before = snapshotCpu(running.processes()); performance.now() < deadlineMs;) {
      await new Promise((resolve) => setTimeout(resolve, windowMs));
      const after = snapshotCpu(running.processes());
      if (totalUs(before, after) <= calmUs) return true;
      before = after;
    }
    return false;
  }
}

function totalUs(before: CpuSnapshot, after: CpuSnapshot): number {
  return Object.values(cpuBetween(before, after)).reduce((sum, { userUs, systemUs }) => sum + userUs + systemUs, 0);
}

/** The driver for tests and for `dev` without a data folder: nothing outlives the process. */
import { type MetaCommit, type MetaEntry, type MetaStore } from "./meta-store.ts";
import { judgeBatch, settleBatch, type WaitingCommit } from "./commit-batch.ts";
import { OrderedMap } from "./ordered-map.ts";

export function openMemoryMetaStore(): MetaStore {
  return new MemoryMetaStore();
}

class MemoryMetaStore implements MetaStore {
  readonly #map = new OrderedMap();
  #waiting: WaitingCommit[] = [];

  get(key: string): string | null {
    return this.#map.get(key);
  }

  list(prefix: string): readonly MetaEntry[] {
    return this.#map.list(prefix);
  }

  /** Takes effect a turn later, as on disk, so that code which forgets to wait fails here too. */
  commit(commit: MetaCommit): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ commit, resolve, reject });
      if (this.#waiting.length === 1) setImmediate(() => this.#flush());
    });
  }

  async close(): Promise<void> {
    this.#flush();
  }

  #flush(): void {
    const batch = this.#waiting;
    this.#waiting = [];
    const judged = judgeBatch(this.#map, batch);
    this.#map.apply(judged.writes);
    settleBatch(judged);
  }
}

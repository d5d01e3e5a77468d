/**
 * The durable driver: rows of the keyspace, held in memory as well, so that they can be asked for in the middle of routing.
 *
 *   (meta, row, KEY)             a value, or the first part of a long one
 *   (meta, row, KEY, PART)       its further parts, from 1
 *   (meta, head)                 a mark of the last batch: who has seen another one has missed something
 *   (meta, staged, ID, NUMBER)   writes of a batch that is too large for one commit (`staged-writes.ts`)
 *   (meta, decided, ID)          that batch counts; what is still staged of it must be moved to its rows
 *
 * Commits that arrive while another is under way share the next batch. Every batch checks the head that it builds upon and
 * writes another one. So a batch whose outcome is unknown can be sent again: had it happened, its check would fail and the
 * head would bear its mark.
 */
import { randomBytes } from "node:crypto";
import { AloftError, type ErrorCode } from "../../contract/errors.ts";
import { KeyClass } from "../../contract/durable.ts";
import type { Commit, CommitOutcome, Entry, Keyspace, RangeQuery } from "../../contract/keyspace.ts";
import { decodeTuple, encodeTuple, tupleRange } from "../../contract/tuple.ts";
import { judgeBatch, settleBatch, type WaitingCommit } from "./commit-batch.ts";
import type { MetaCell, MetaCommit, MetaEntry, MetaStore } from "./meta-store.ts";
import { OrderedMap } from "./ordered-map.ts";
import { decodeWrites, encodeWrites, isSmall, type RowWrite } from "./staged-writes.ts";

/** A value of the keyspace has 1 MiB at most; the variables of an app, escaped as JSON, may have more. */
const partBytes = 256 * 1024;
const triesMax = 4;

const headKey = encodeTuple([KeyClass.meta, "head"]);
const rows = tupleRange([KeyClass.meta, "row"]);
const stagedAll = tupleRange([KeyClass.meta, "staged"]);
const decidedAll = tupleRange([KeyClass.meta, "decided"]);

/** `keyspace` stays the caller's to close, after this. Throws DATA_CORRUPT, DISK_FULL. */
export async function openKeyspaceMetaStore(keyspace: Keyspace): Promise<MetaStore> {
  const store = new KeyspaceMetaStore(keyspace);
  await store.load();
  return store;
}

class KeyspaceMetaStore implements MetaStore {
  readonly #keyspace: Keyspace;
  #map = new OrderedMap();
  /** 0: there is no head yet. */
  #headVersion = 0;
  /** Memory may lack something, or a decided batch is not in its rows: to be loaded again before the next batch. */
  #isStale = false;
  #waiting: WaitingCommit[] = [];
  #writing: Promise<void> | null = null;
  #closed = false;

  constructor(keyspace: Keyspace) {
    this.#keyspace = keyspace;
  }

  /** Finishes what a crash has left, then reads everything. */
  async load(): Promise<void> {
    await this.#finishDecided();
    const [head] = await this.#keyspace.get([headKey]);
    const map = new OrderedMap();
    const longs = new Map<string, Uint8Array[]>();
    await this.#forEach(rows, (entry) => {
      const [, , key, part = 0] = decodeTuple(entry.key) as [string, string, string, number?];
      if (part !== 0) longs.get(key)?.push(entry.value);
      else if (entry.value.length < partBytes) map.load([{ key, value: textOf(entry.value) }]);
      else longs.set(key, [entry.value]);
    });
    for (const [key, parts] of longs) map.load([{ key, value: textOf(Buffer.concat(parts)) }]);
    map.sortLoaded();
    this.#map = map;
    this.#headVersion = head?.version ?? 0;
    this.#isStale = false;
  }

  get(key: string): string | null {
    return this.#map.get(key);
  }

  list(prefix: string): readonly MetaEntry[] {
    return this.#map.list(prefix);
  }

  commit(commit: MetaCommit): Promise<void> {
    if (this.#closed) return Promise.reject(new AloftError("SHUTTING_DOWN", "the server is stopping"));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ commit, resolve, reject });
      this.#writing ??= this.#writeAll();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#writing;
  }

  async #writeAll(): Promise<void> {
    // A turn later, so that commits called together share the first batch too.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        await this.#carryOut(batch);
      } catch (error) {
        for (const waiting of batch) waiting.reject(error);
      }
    }
    this.#writing = null;
  }

  async #carryOut(batch: readonly WaitingCommit[]): Promise<void> {
    for (;;) {
      if (this.#isStale) await this.load();
      const judged = judgeBatch(this.#map, batch);
      // Before anybody is refused, memory must be sure.
      const isSure = judged.refused.length === 0 || (await this.#isCurrent());
      if (isSure && (judged.writes.length === 0 || (await this.#write(judged.writes)))) {
        this.#map.apply(judged.writes);
        settleBatch(judged);
        return;
      }
      this.#isStale = true; // somebody else has written
    }
  }

  async #isCurrent(): Promise<boolean> {
    const [head] = await this.#keyspace.get([headKey]);
    return (head?.version ?? 0) === this.#headVersion;
  }

  /** false: memory is not what the keyspace holds, and nothing was written. */
  async #write(cells: readonly MetaCell[]): Promise<boolean> {
    const last = new Map(cells.map(({ key, value }) => [key, value]));
    const writes = [...last].flatMap(([key, value]) => this.#writesOf(key, value));
    const makesRoom = writes.every(({ value }) => value === null);
    if (isSmall(writes)) return await this.#decide(writes, makesRoom);
    const id = randomBytes(12).toString("hex");
    const isDecided = await this.#stage(id, writes, makesRoom);
    // It has happened by now. Should moving it fail, the next batch or the next start goes on with that.
    if (isDecided) await this.#finishDecided().catch(() => (this.#isStale = true));
    return isDecided;
  }

  #writesOf(key: string, value: string | null): RowWrite[] {
    const former = this.#map.get(key);
    const formerParts = former === null ? 0 : partsOf(Buffer.byteLength(former));
    const bytes = value === null ? null : Buffer.from(value);
    const parts = bytes === null ? 0 : partsOf(bytes.length);
    return Array.from({ length: Math.max(parts, formerParts) }, (_, part) => ({
      key: encodeTuple([KeyClass.meta, "row", key, ...(part === 0 ? [] : [part])]),
      value: bytes === null || part >= parts ? null : bytes.subarray(part * partBytes, (part + 1) * partBytes),
    }));
  }

  async #stage(id: string, writes: readonly RowWrite[], makesRoom: boolean): Promise<boolean> {
    const staged = encodeWrites(writes).map((value, number) => ({
      checks: [],
      writes: [{ kind: "set", key: encodeTuple([KeyClass.meta, "staged", id, number]), value } as const],
      isEssential: makesRoom,
    }));
    try {
      await settled(staged.map((commit) => this.#certain(() => this.#keyspace.commit(commit))));
      const mark = { key: encodeTuple([KeyClass.meta, "decided", id]), value: new Uint8Array(0) };
      if (await this.#decide([mark], makesRoom)) return true;
    } catch (error) {
      if (codeOf(error) === "COMMIT_UNKNOWN") throw error; // the next load sees what became of it
      await this.#dropStaged(id).catch(() => (this.#isStale = true));
      throw error;
    }
    await this.#dropStaged(id);
    return false;
  }

  /** One commit that checks the head and makes another one. */
  async #decide(writes: readonly RowWrite[], isEssential: boolean): Promise<boolean> {
    const mark = randomBytes(16);
    const commit: Commit = {
      checks: [
        this.#headVersion === 0
          ? { kind: "absent", key: headKey }
          : { kind: "version", key: headKey, version: this.#headVersion },
      ],
      writes: [...writes.map(writeOf), { kind: "set", key: headKey, value: mark }],
      isEssential,
    };
    try {
      const outcome = await this.#certain(() => this.#keyspace.commit(commit));
      if (outcome.kind === "committed") {
        this.#headVersion = outcome.version;
        return true;
      }
      const [head] = await this.#keyspace.get([headKey]);
      if (head === null || head === undefined || Buffer.compare(head.value, mark) !== 0) return false;
      this.#headVersion = head.version; // it was this one: the first try had happened
      return true;
    } catch (error) {
      if (codeOf(error) === "COMMIT_UNKNOWN") this.#isStale = true;
      throw error;
    }
  }

  /** Tries again what may or may not have happened; doing it twice must do no harm. */
  async #certain(commit: () => Promise<CommitOutcome>): Promise<CommitOutcome> {
    for (let tries = 1; ; tries++) {
      try {
        return await commit();
      } catch (error) {
        if (codeOf(error) !== "COMMIT_UNKNOWN" || tries === triesMax) throw error;
      }
    }
  }

  /** Moves what is staged and decided into its rows, and drops what is staged and not decided. */
  async #finishDecided(): Promise<void> {
    const decided = new Set<string>();
    await this.#forEach(decidedAll, (entry) => decided.add(String(decodeTuple(entry.key)[2])));
    const moves: Commit[] = [];
    await this.#forEach(stagedAll, ({ key, value }) => {
      const isDecided = decided.has(String(decodeTuple(key)[2]));
      const writes = isDecided ? decodeWrites(value).map(writeOf) : [];
      moves.push({ checks: [], writes: [...writes, { kind: "delete", key }], isEssential: true });
    });
    await settled(moves.map((commit) => this.#certain(() => this.#keyspace.commit(commit))));
    if (decided.size > 0) await this.#deleteRange(decidedAll);
  }

  async #dropStaged(id: string): Promise<void> {
    await this.#deleteRange(tupleRange([KeyClass.meta, "staged", id]));
  }

  async #deleteRange(range: { readonly start: Uint8Array; readonly end: Uint8Array }): Promise<void> {
    const commit: Commit = { checks: [], writes: [{ kind: "delete-range", ...range }] };
    await this.#certain(() => this.#keyspace.commit(commit));
  }

  async #forEach(range: RangeQuery, visit: (entry: Entry) => void): Promise<void> {
    for (let query: RangeQuery | null = range; query !== null;) {
      const page = await this.#keyspace.range(query);
      for (const entry of page.entries) visit(entry);
      query = page.next;
    }
  }
}

/** At least one, so that an empty value has its row. */
function partsOf(bytes: number): number {
  return Math.floor(bytes / partBytes) + 1;
}

function writeOf({ key, value }: RowWrite): Commit["writes"][number] {
  return value === null ? { kind: "delete", key } : { kind: "set", key, value };
}

function textOf(bytes: Uint8Array): string {
  return Buffer.prototype.utf8Slice.call(bytes, 0, bytes.length);
}

/** Waits for all of them, then fails with the first that has failed: none is under way when it throws. */
async function settled(all: readonly Promise<unknown>[]): Promise<void> {
  const outcomes = await Promise.allSettled(all);
  const failed = outcomes.find((outcome) => outcome.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}

function codeOf(error: unknown): ErrorCode | null {
  return error instanceof AloftError ? error.code : null;
}

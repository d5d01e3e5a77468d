/**
 * The writer: judges commits in the order they came and makes them durable in groups, one transaction and one sync of the disk
 * each. What a group changes becomes one row of the log; the tree gets it later (`merger.ts`), in the order of keys and
 * without what was overwritten or deleted in between. Measured on two cores with commits of one key of 20,000 at random:
 * 38,000-46,000 a second with every change written into the tree at once, for each group then writes as many pages.
 *
 *   sound -> (a group failed) -> broken -> (the file was opened and read again) -> sound
 *
 * After any failure the memory is not trusted and the file decides what has happened.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { AloftError } from "../../contract/errors.ts";
import { judge, onlyDeletes, type Verdict } from "../judge.ts";
import type { KeyText } from "../key-text.ts";
import type { Order } from "../order.ts";
import { limits } from "../../contract/limits.ts";
import { ChangesEncoder, decodeChanges, isIntact } from "./changes.ts";
import { openForWriting } from "./format.ts";
import { Layers } from "./layers.ts";
import { Merger } from "./merger.ts";
import { type Cell, type MergedPart, Overlay } from "./overlay.ts";
import { Reserve } from "./reserve.ts";
import { asStoreError, corruptError, isFull } from "./sqlite-errors.ts";
import { Tree } from "./tree.ts";
import { answers, type FromWriter, refusalCodes, type RefusalCode, type WriterSettings } from "./writer-messages.ts";

interface OpenFile {
  readonly db: DatabaseSync;
  readonly begin: StatementSync;
  readonly commit: StatementSync;
  readonly insertLog: StatementSync;
  readonly insertLarge: StatementSync;
  readonly layers: Layers;
  readonly merger: Merger;
}

type Phase = "opening" | "writing" | "committing";

export class Writer {
  readonly #settings: WriterSettings;
  readonly #send: (message: FromWriter) => void;
  readonly #overlay = new Overlay();
  readonly #encoder = new ChangesEncoder();
  readonly #reserve: Reserve;
  #file: OpenFile | null = null;
  #version = 0;
  #timeMs = 0;
  #lastLarge = 0;
  #isDiskFull = false;

  /** Throws what opening the file throws, as errors of the table. */
  constructor(settings: WriterSettings, send: (message: FromWriter) => void) {
    this.#settings = settings;
    this.#send = send;
    this.#reserve = new Reserve(settings.reserveFile, settings.reserveBytes);
    this.#file = this.#openAtStart();
    // Those who wait for the file have heard of it by now: the reserve costs them nothing.
    if (!this.#reserve.take()) this.#diskIsFull("there is no room for the reserve");
  }

  /** Carries out as one group and sends what became of each. Never throws. */
  commit(orders: readonly Order[], nowMs: number): void {
    const found = new Float64Array(orders.length * 2);
    if (this.#isDiskFull) this.#lookForRoom();
    let phase: Phase = "opening";
    try {
      const file = (this.#file ??= this.#open());
      phase = "writing";
      this.#timeMs = Math.max(this.#timeMs, nowMs);
      file.begin.run();
      const before = this.#version;
      this.#encoder.begin(before);
      for (const [index, order] of orders.entries()) this.#carryOut(file, order, found, index * 2);
      const isChanged = this.#version > before;
      const changes = isChanged ? this.#encoder.finish() : null;
      if (changes !== null) file.insertLog.run(this.#version, this.#timeMs, changes);
      phase = "committing";
      file.commit.run();
      if (changes !== null) file.merger.grew(changes.length);
      this.#send({ kind: "group", answers: found, changes, version: this.#version });
    } catch (error) {
      this.#failed(error, phase, orders, nowMs, found);
    }
  }

  /** Something is not in the tree yet: what the server's thread has not heard of must wait for that. */
  get hasUnmerged(): boolean {
    return this.#file !== null && this.#overlay.size > 0;
  }

  /** One slice of what can be done between groups: true when there is more. Never throws. */
  tidy(isIdle: boolean): boolean {
    try {
      return this.#file?.merger.tidy(isIdle, this.#timeMs) ?? false;
    } catch (error) {
      if (isFull(error)) this.#diskIsFull(String(error));
      else this.#warn(`the writer had to open the file again: ${String(error)}`);
      this.#release();
      return false;
    }
  }

  close(): void {
    this.#release();
  }

  #carryOut(file: OpenFile, order: Order, found: Float64Array<ArrayBuffer>, at: number): void {
    if (this.#isDiskFull && order.writes.length > 0 && !order.isEssential && !onlyDeletes(order)) {
      put(found, at, answers.refused, refusalCodes.indexOf("DISK_FULL"));
      return;
    }
    const isWriting = order.writes.length > 0 || order.once !== null;
    const version = this.#version + 1;
    const verdict: Verdict = judge(order, file.layers, version, this.#timeMs);
    switch (verdict.kind) {
      case "accepted":
        if (isWriting) {
          this.#version = version;
          for (const [key, { value, expiresAtMs }] of verdict.changes) this.#change(file, key, value, expiresAtMs);
        }
        put(found, at, answers.committed, this.#version);
        return;
      case "repeat":
        put(found, at, answers.repeat, verdict.version);
        return;
      case "conflict":
        put(found, at, answers.conflict, verdict.check);
        return;
      case "refused":
        put(found, at, answers.refused, refusalCodes.indexOf(verdict.code));
    }
  }

  #change(file: OpenFile, key: KeyText, value: Uint8Array | null, expiresAtMs: number): void {
    const isLarge = value !== null && value.length > limits.largeValueBytes;
    if (isLarge) file.insertLarge.run(++this.#lastLarge, value);
    const cell: Cell = {
      version: this.#version,
      expiresAtMs,
      value: isLarge ? null : value,
      large: isLarge ? this.#lastLarge : 0,
    };
    this.#encoder.add(key, cell);
    this.#apply(file.merger, key, cell);
  }

  #apply(merger: Merger, key: KeyText, cell: Cell): void {
    const former = this.#overlay.set(key, cell);
    if (cell.large > 0) merger.hasLarge();
    if (former !== undefined && former.large > 0) merger.superseded(former.large, cell.version);
  }

  /**
   * SQLite says that the disk is full before it writes the frame that makes a transaction count, so that then nothing has
   * happened, whatever it was doing. Of other failures of a COMMIT nobody knows.
   */
  #failed(
    error: unknown,
    phase: Phase,
    orders: readonly Order[],
    nowMs: number,
    found: Float64Array<ArrayBuffer>,
  ): void {
    this.#release();
    if (isFull(error) && !this.#isDiskFull) {
      this.#diskIsFull(String(error));
      this.commit(orders, nowMs);
      return;
    }
    const known = asStoreError(error, this.#settings.file);
    const code = known instanceof AloftError ? known.code : null;
    const refusal = refusalCodes.find((each: RefusalCode) => each === code);
    const isUnknown = refusal === undefined || (phase === "committing" && refusal !== "DISK_FULL");
    this.#warn(`a group of ${orders.length} commits failed while ${phase}: ${String(error)}`);
    for (let at = 0; at < found.length; at += 2) {
      if (isUnknown) put(found, at, answers.unknown, 0);
      else put(found, at, answers.refused, refusalCodes.indexOf(refusal));
    }
    this.#tryOpen();
    this.#send({ kind: "group", answers: found, changes: null, version: this.#version });
  }

  /** On a full disk there is no room for what SQLite keeps beside the file either, until the reserve gives it. */
  #openAtStart(): OpenFile {
    try {
      return this.#open();
    } catch (error) {
      if (!(error instanceof AloftError) || error.code !== "DISK_FULL") throw error;
      this.#reserve.release();
      return this.#open();
    }
  }

  #tryOpen(): void {
    try {
      this.#file = this.#open();
    } catch (error) {
      this.#warn(`the file could not be opened again: ${String(error)}`);
    }
  }

  #open(): OpenFile {
    const { file } = this.#settings;
    let db: DatabaseSync | null = null;
    try {
      db = openForWriting(file);
      const tree = new Tree(db, file);
      const onMerged = (part: MergedPart): void => this.#send({ kind: "merged", part });
      const merger = new Merger({ db, overlay: this.#overlay, settings: this.#settings, onMerged });
      this.#load(db, merger);
      return {
        db,
        begin: db.prepare("BEGIN"),
        commit: db.prepare("COMMIT"),
        insertLog: db.prepare("INSERT INTO log (version, time_ms, changes) VALUES (?, ?, ?)"),
        insertLarge: db.prepare("INSERT INTO large (id, value) VALUES (?, ?)"),
        layers: new Layers(this.#overlay, tree),
        merger,
      };
    } catch (error) {
      db?.close();
      throw asStoreError(error, file);
    }
  }

  /** The log decides what was committed: memory is made from it. */
  #load(db: DatabaseSync, merger: Merger): void {
    this.#overlay.clear();
    const counter = db.prepare("SELECT version, time_ms, large FROM counter").get();
    let version = Number(counter?.["version"]);
    let timeMs = Number(counter?.["time_ms"]);
    const logs: Uint8Array[] = [];
    for (const row of db.prepare("SELECT version, time_ms, changes FROM log ORDER BY version").iterate()) {
      const changes = row["changes"];
      if (!(changes instanceof Uint8Array) || !isIntact(changes)) {
        throw corruptError(this.#settings.file, new Error(`row ${String(row["version"])} of the log`));
      }
      decodeChanges(changes, (key, cell) => this.#apply(merger, key, cell));
      logs.push(changes);
      version = Math.max(version, Number(row["version"])); // a new incarnation has counted on
      timeMs = Number(row["time_ms"]);
      merger.grew(changes.length);
    }
    const large = Number(db.prepare("SELECT max(id) AS id FROM large").get()?.["id"] ?? 0);
    if (large > 0) merger.hasLarge();
    this.#lastLarge = Math.max(large, Number(counter?.["large"]), this.#lastLarge);
    this.#version = version;
    this.#timeMs = Math.max(this.#timeMs, timeMs);
    this.#send({ kind: "loaded", logs, version, timeMs });
  }

  #release(): void {
    const file = this.#file;
    this.#file = null;
    try {
      file?.db.close();
    } catch (error) {
      this.#warn(`the file could not be closed: ${String(error)}`);
    }
  }

  #diskIsFull(why: string): void {
    if (!this.#isDiskFull) this.#warn(`the disk is full (${why}): only what makes room is still written`);
    this.#isDiskFull = true;
    this.#send({ kind: "disk", isFull: true });
    this.#reserve.release();
  }

  #lookForRoom(): void {
    if (!this.#reserve.take()) return;
    this.#isDiskFull = false;
    this.#send({ kind: "disk", isFull: false });
    this.#warn("there is room on the disk again");
  }

  #warn(text: string): void {
    this.#send({ kind: "warning", text: `${this.#settings.file}: ${text}` });
  }
}

function put(found: Float64Array<ArrayBuffer>, at: number, answer: number, which: number): void {
  found[at] = answer;
  found[at + 1] = which;
}

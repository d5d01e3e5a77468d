/**
 * Consumes one queue while its shard is ours: reads ahead, delivers, and commits what each delivery has come to. What is in
 * flight stands in memory only; what a crash leaves in the store is delivered again.
 *
 *   picked -> delivered -> ended -> committed      acknowledged, moved to be tried again, or dead; with the handler's writes
 *                            |  \-> conflict       the handler runs again, in line for what it conflicted on, at no cost
 *                            \----> refused        it was never called: back, and a pause
 *
 * Every commit checks the shard's epoch and the key and version of each message of the batch, so that nothing is acknowledged
 * twice, by whomever (rules 2, 8, 10 to 15 of docs/exactly-once.md).
 */
import type {
  DeliveryEnd,
  Delivering,
  OwnedShard,
  StateBatch,
  StateOutcome,
  StateService,
} from "../../contract/durable.ts";
import { AloftError, asAloftError } from "../../contract/errors.ts";
import type { Check, Keyspace, Write } from "../../contract/keyspace.ts";
import { limits } from "../../contract/limits.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Schedule } from "../../lib/schedule.ts";
import { TokenBucket } from "../../lib/token-bucket.ts";
import type { Alarm, Alarms } from "../../shards/alarms.ts";
import { stopping } from "../../shards/shards.ts";
import type { Lines } from "../../state/lines.ts";
import { lanePrefix, type QueueKeys, queueKeys, type QueuePlace } from "../../state/queue/queue-keys.ts";
import { type QueueStateRow, queueStateOf } from "../../state/queue/queue-state.ts";
import { sweepQueue } from "../../state/queue/sweep-queue.ts";
import { encodeMessage, type StoredMessage } from "../../state/queue/stored-message.ts";
import type { Effect, OutcomeError } from "../../wire/effects.ts";
import type { Target } from "../consumer.ts";
import { deferralOf } from "./deferral.ts";
import { halfOf, type Held, MessageWindow, type WindowTuning } from "./message-window.ts";
import type { Along, QueueWork } from "./queue-work.ts";
import { decideRetry } from "./retry.ts";
import { allFailed, errorOf, type Failure, type Verdict, verdictOf } from "./verdict.ts";

/** What all consumers of a node have in common. */
export interface ConsumerParts {
  readonly keyspace: Keyspace;
  readonly state: StateService;
  readonly delivering: Delivering;
  readonly clock: Clock;
  readonly schedule: Schedule;
  readonly alarms: Alarms;
  readonly lines: Lines;
  /** From 0 to below 1. */
  readonly random: () => number;
  /** Looks for what a lost wake-up has not told, so often; null where none can get lost. */
  readonly safetyScanMs: number | null;
  readonly onError: (error: unknown) => void;
}

/** After a delivery that was refused: doubles from the one to the other. */
const refusedMinMs = 100;
const refusedMaxMs = 10_000;
/** Of a commit whose outcome is unknown. */
const unknownTries = 30;
const unknownPauseMs = 50;
/** How long handlers may go on when the node stops in peace. */
const stopGraceMs = 8_000;
/** The mark of what is gone is written after so many acknowledgements, with one of them. */
const markEvery = 2_000;

interface Delivery {
  readonly messages: readonly Held[];
  cancel: () => void;
  /** What stands in memory about its messages may be wrong: read anew once it is over. */
  isDoubtful: boolean;
}

export class QueueConsumer {
  readonly #parts: ConsumerParts;
  readonly #shard: OwnedShard;
  readonly place: QueuePlace;
  #work: QueueWork | null;
  readonly #alarm: Alarm;
  #keys: QueueKeys;
  #row: QueueStateRow | null = null;
  #window: MessageWindow;
  #bucket: TokenBucket | null = null;
  readonly #running = new Set<Promise<void>>();
  readonly #deliveries = new Set<Delivery>();
  /** Nothing is begun before then (monotonic), after refusals. */
  #pausedUntilMs = 0;
  #refusals = 0;
  /** Since when a batch waits to fill. */
  #fillingSinceMs: number | null = null;
  #acksSinceMark = 0;
  #stopWaits = new Map<string, () => void>();
  #unwatch: (() => void)[] = [];
  #isOpen = false;
  #isClosed = false;
  #stateIsStale = true;
  #refreshing: Promise<void> | null = null;
  #sweeping: Promise<void> | null = null;

  constructor(parts: ConsumerParts, shard: OwnedShard, place: QueuePlace, work: QueueWork | null) {
    this.#parts = parts;
    this.#shard = shard;
    this.place = place;
    this.#work = work;
    this.#alarm = parts.alarms.create(() => {
      this.#window.wake();
      this.#pump();
    });
    this.#keys = queueKeys(place, 0);
    this.#window = this.#newWindow(null);
    this.#unwatch.push(parts.keyspace.watch(place.stateKey, () => this.#refresh()));
    shard.signal.addEventListener("abort", () => this.#stop(shard.signal.reason), { once: true });
    this.setWork(work);
    this.#scanForSafety();
    this.#refresh();
  }

  /** What is live has changed; null: nothing consumes it now. */
  setWork(work: QueueWork | null): void {
    const before = this.#work?.options;
    this.#work = work;
    const rate = work?.options.rate ?? null;
    const now = this.#parts.clock.monotonicMs();
    if (rate === null) this.#bucket = null;
    else if (this.#bucket === null || JSON.stringify(before?.rate) !== JSON.stringify(rate))
      this.#bucket = new TokenBucket((rate.messages / rate.perMs) * 1000, rate.messages, now);
    this.#window.tune(this.#tuning());
    this.#pausedUntilMs = 0;
    this.#refusals = 0;
    this.#pump();
  }

  get inFlight(): number {
    return this.#deliveries.size;
  }

  /** The message is not wanted any more: what runs of it is aborted. */
  abort(id: string): void {
    for (const { messages, cancel } of this.#deliveries)
      if (messages.some(({ message }) => message?.id === id)) cancel();
  }

  /** Resolves when no handler of it runs any more. */
  async close(): Promise<void> {
    this.#stop("closed");
    await Promise.allSettled([...this.#running, this.#refreshing, this.#sweeping]);
  }

  // --- what is stored

  /** Reads the queue's own row: whether it is paused, and which generation counts. */
  #refresh(): void {
    this.#stateIsStale = true;
    this.#refreshing ??= this.#refreshUntilFresh().finally(() => {
      this.#refreshing = null;
      this.#pump();
    });
  }

  async #refreshUntilFresh(): Promise<void> {
    const { keyspace } = this.#parts;
    while (this.#stateIsStale && !this.#isClosed) {
      this.#stateIsStale = false;
      try {
        const [entry = null] = await keyspace.get([this.place.stateKey]);
        const row = queueStateOf(entry);
        if (!this.#isOpen || row.generation !== this.#keys.generation) await this.#open(row.generation);
        this.#row = row;
      } catch (error) {
        this.#stateIsStale = true;
        this.#report(error);
        await this.#sleep(unknownPauseMs * 10);
      }
    }
  }

  async #open(generation: number): Promise<void> {
    const { keyspace } = this.#parts;
    this.#isOpen = false;
    for (const unwatch of this.#unwatch.splice(1)) unwatch();
    this.#keys = queueKeys(this.place, generation);
    const [mark = null] = await keyspace.get([this.#keys.mark]);
    if (this.#isClosed) return;
    this.#window.close();
    this.#window = this.#newWindow(mark === null ? null : new Uint8Array(mark.value));
    const window = this.#window;
    for (const lane of ["m", "h", "d"] as const) {
      const wake = (): void => {
        window.touch(lane);
        this.#pump();
      };
      this.#unwatch.push(keyspace.watch(this.#keys.lanes[lane].prefix, wake));
    }
    this.#isOpen = true;
    if (generation > 0) this.#sweep(generation);
  }

  #newWindow(cursor: Uint8Array | null): MessageWindow {
    const { keyspace } = this.#parts;
    const onLoaded = (): void => this.#pump();
    const options = { keyspace, place: this.place, keys: this.#keys, alarm: this.#alarm, onLoaded };
    return new MessageWindow({ ...options, ...this.#tuning() }, cursor);
  }

  #tuning(): WindowTuning {
    const { batch, concurrency, groupConcurrency } = this.#work?.options ?? {
      batch: 1,
      concurrency: 1,
      groupConcurrency: 1,
    };
    const readAhead = Math.min(limits.queueReadMessages, Math.max(64, batch * concurrency * 2));
    return { groupConcurrency, readAhead, bodiesPerGroup: Math.max(16, batch) };
  }

  /** What a purge has left behind. */
  #sweep(generation: number): void {
    const before = this.#sweeping ?? Promise.resolve();
    this.#sweeping = before
      .then(() =>
        sweepQueue(this.#parts.keyspace, this.place, generation, [this.#shard.epochCheck], () => this.#isClosed),
      )
      .catch((error: unknown) => this.#report(error));
  }

  #fill(): void {
    const window = this.#window;
    this.#track(
      window.fill().then(
        () => this.#pump(),
        async (error: unknown) => {
          this.#report(error);
          await this.#sleep(unknownPauseMs * 10);
          this.#pump();
        },
      ),
    );
  }

  #scanForSafety(): void {
    const { safetyScanMs } = this.#parts;
    if (safetyScanMs === null || this.#isClosed) return;
    this.#wait("safety", safetyScanMs, () => {
      this.#window.touchAll();
      this.#refresh();
      this.#scanForSafety();
    });
  }

  // --- dispatch

  /** Begins what can begin. Called whenever something may have changed; does nothing when nothing has. */
  #pump(): void {
    const work = this.#work;
    if (this.#isClosed || !this.#isOpen || work === null || this.#row === null || this.#row.isPaused) return;
    if (this.#window.wantsMore) this.#fill();
    const { options } = work;
    while (this.#deliveries.size < options.concurrency) {
      const most = this.#mayBegin(work);
      if (most === 0) return;
      const picked = this.#window.pick(most);
      if (picked.length === 0) return;
      this.#fillingSinceMs = null;
      this.#bucket?.take(this.#parts.clock.monotonicMs(), picked.length);
      this.#begin(work, picked);
    }
  }

  /** How many messages the next delivery may have; 0: not now, and `pump` is called when that may have changed. */
  #mayBegin(work: QueueWork): number {
    const window = this.#window;
    if (window.ready === 0 && !window.hasGroupReady) {
      this.#fillingSinceMs = null;
      return 0;
    }
    if (!work.isLive()) return 0;
    const nowMs = this.#parts.clock.monotonicMs();
    const { batch, batchWindowMs } = work.options;
    if (nowMs < this.#pausedUntilMs) return this.#later("refused", this.#pausedUntilMs - nowMs);
    if (batchWindowMs > 0 && window.ready < batch) {
      this.#fillingSinceMs ??= nowMs;
      const waitMs = this.#fillingSinceMs + batchWindowMs - nowMs;
      if (waitMs > 0) return this.#later("filling", waitMs);
    }
    if (this.#bucket === null) return batch;
    const waitMs = this.#bucket.waitMs(nowMs);
    if (waitMs > 0) return this.#later("rate", waitMs);
    let most = Math.min(batch, work.options.rate?.messages ?? batch, Math.max(1, window.ready));
    while (most > 1 && this.#bucket.waitMs(nowMs, most) > 0) most = Math.floor(most / 2);
    return most;
  }

  #later(what: string, delayMs: number): 0 {
    this.#wait(what, delayMs, () => this.#pump());
    return 0;
  }

  #begin(work: QueueWork, picked: readonly Held[]): void {
    const delivery: Delivery = { messages: picked, cancel: () => {}, isDoubtful: false };
    this.#deliveries.add(delivery);
    const window = this.#window;
    this.#track(
      this.#run(work, picked, delivery)
        .catch((error: unknown) => {
          this.#report(error);
          return picked;
        })
        .then((back) => {
          this.#deliveries.delete(delivery);
          window.settle(picked, back);
          if (delivery.isDoubtful) window.restart();
          this.#pump();
        }),
    );
  }

  /** From the delivery to its commit. The answer is what waits again. */
  async #run(work: QueueWork, picked: readonly Held[], delivery: Delivery): Promise<readonly Held[]> {
    const { keyspace, lines } = this.#parts;
    const { environment } = this.place;
    const alive = await this.#buryExpired(work, picked, delivery);
    if (alive.length === 0) return [];
    let ticket: number | null = null;
    try {
      for (let reruns = 0; ; reruns++) {
        const target = work.target(alive.map(({ message }) => message as StoredMessage));
        if (target === null || this.#isClosed) return alive;
        const verdict =
          target === "gone"
            ? allFailed(
                alive,
                { ...errorOf("FUNCTION_NOT_FOUND", "there is no such function any more"), retry: "never" },
                [],
              )
            : await this.#deliver(work, target, alive, delivery);
        if (verdict === null) return alive;
        const settled = await this.#settle(work, alive, verdict, delivery);
        if (settled.kind === "settled") return settled.back;
        const isTooOld = alive.some(({ message }) => isExpired(message, work, keyspace.clock.nowMs()));
        if (reruns + 1 >= limits.queueReruns || isTooOld) {
          const error = errorOf("HOT_KEY", `it met a conflict on ${settled.where} ${reruns + 1} times`);
          const hot = await this.#settle(work, alive, allFailed(alive, error, []), delivery);
          return hot.kind === "settled" ? hot.back : alive;
        }
        if (ticket !== null) lines.leave(environment, ticket);
        ticket = null;
        ticket = await lines.enter(environment, settled.where);
      }
    } finally {
      if (ticket !== null) lines.leave(environment, ticket);
    }
  }

  /** null: it was never called, and was given back. */
  async #deliver(
    work: QueueWork,
    target: Target,
    messages: readonly Held[],
    delivery: Delivery,
  ): Promise<Verdict | null> {
    const spec = target.live.manifest.functions[target.functionNumber];
    if (spec === undefined) return null;
    const stored = messages.map(({ message }) => message as StoredMessage);
    const [first] = stored;
    const attempt = stored.reduce((most, { attempts }) => Math.max(most, attempts), 0) + 1;
    const key = `${first?.id ?? ""}${stored.length === 1 ? "" : `+${stored.length - 1}`}`;
    const running = this.#parts.delivering.deliver({
      ...target,
      trigger: work.trigger,
      subject: work.subject(stored),
      attempt,
      document: { trigger: work.trigger, idempotencyKey: key, payload: work.payload(spec, stored) },
      traceparent: null,
    });
    delivery.cancel = () => running.cancel();
    if (this.#isClosed && this.#shard.signal.reason !== stopping) running.cancel();
    const end = await running.ended;
    delivery.cancel = () => {};
    return this.#judge(end, messages);
  }

  #judge(end: DeliveryEnd, messages: readonly Held[]): Verdict | null {
    switch (end.kind) {
      case "refused": {
        const delayMs = Math.min(refusedMaxMs, refusedMinMs * 2 ** Math.min(this.#refusals, 10));
        this.#refusals += 1;
        this.#pausedUntilMs = this.#parts.clock.monotonicMs() + delayMs * (1 - 0.2 * this.#parts.random());
        return null;
      }
      case "failed": {
        this.#refusals = 0;
        const { code, message } = end.error;
        return allFailed(messages, errorOf(code, message), []);
      }
      case "answered": {
        this.#refusals = 0;
        return verdictOf(end.outcome, messages);
      }
      default:
        return end satisfies never;
    }
  }

  /** Messages that have waited longer than they may. */
  async #buryExpired(work: QueueWork, picked: readonly Held[], delivery: Delivery): Promise<readonly Held[]> {
    const nowMs = this.#parts.keyspace.clock.nowMs();
    const expired = picked.filter(({ message }) => isExpired(message, work, nowMs));
    if (expired.length === 0) return picked;
    const failed = expired.map((held): Failure => ({ held, error: expiredError(held, nowMs) }));
    const verdict = { acked: [], failed, back: [], seen: [], effects: [], hasBroken: false };
    await this.#settle(work, expired, verdict, delivery);
    return picked.filter((held) => !expired.includes(held));
  }

  // --- settling

  async #settle(
    work: QueueWork,
    messages: readonly Held[],
    verdict: Verdict,
    delivery: Delivery,
  ): Promise<
    { readonly kind: "settled"; readonly back: readonly Held[] } | { readonly kind: "conflict"; readonly where: string }
  > {
    const plan = this.#plan(work, verdict);
    if (plan.batch.writes.length === 0 && plan.batch.effects.length === 0 && plan.batch.seen.length === 0) {
      if (verdict.hasBroken) halve(messages);
      return { kind: "settled", back: verdict.back };
    }
    let outcome: StateOutcome;
    try {
      outcome = await this.#commit(plan.batch, delivery);
    } catch (error) {
      return await this.#settleRefusedCommit(work, messages, verdict, asAloftError(error), delivery);
    }
    switch (outcome.kind) {
      case "conflict":
        return outcome;
      case "lost": {
        // The shard is another's now; or an operator has taken the message away.
        if (outcome.check === 0) this.#stop("lost");
        delivery.isDoubtful = true;
        const lost = plan.heldOfCheck[outcome.check - 1];
        return { kind: "settled", back: messages.filter((held) => held !== lost) };
      }
      case "committed": {
        if (verdict.hasBroken) halve(messages);
        if (delivery.isDoubtful) return { kind: "settled", back: [] };
        for (const { held, message } of plan.rewritten) this.#window.update(held, message, outcome.version);
        const rewritten = new Set(plan.rewritten.map(({ held }) => held));
        const waits = new Set([...rewritten, ...verdict.back.filter((held) => !plan.moved.has(held))]);
        return { kind: "settled", back: messages.filter((held) => waits.has(held)) };
      }
      default:
        return outcome satisfies never;
    }
  }

  /** What the handler asks for cannot be committed: its own fault costs an attempt, the platform's does not. */
  async #settleRefusedCommit(
    work: QueueWork,
    messages: readonly Held[],
    verdict: Verdict,
    error: AloftError,
    delivery: Delivery,
  ): Promise<{ readonly kind: "settled"; readonly back: readonly Held[] }> {
    if (error.fault === "platform" || verdict.effects.length === 0) {
      if (error.code !== "SHUTTING_DOWN") this.#report(error);
      this.#pausedUntilMs = this.#parts.clock.monotonicMs() + refusedMaxMs / 10;
      return { kind: "settled", back: messages };
    }
    const failed = allFailed(messages, errorOf(error.code, error.message), []);
    const settled = await this.#settle(work, messages, failed, delivery);
    return settled.kind === "settled" ? settled : { kind: "settled", back: messages };
  }

  #plan(work: QueueWork, verdict: Verdict): Planned {
    const { keyspace, random } = this.#parts;
    const nowMs = keyspace.clock.nowMs();
    const checks: Check[] = [this.#shard.epochCheck];
    const heldOfCheck: (Held | null)[] = [];
    const writes: Write[] = [];
    const effects: Effect[] = [...verdict.effects];
    const rewritten: { held: Held; message: StoredMessage }[] = [];
    let gone = 0n;
    let later = 0n;
    const leave = (held: Held): void => {
      writes.push({ kind: "delete", key: held.key });
      // What was purged is counted no more.
      if (held.generation !== this.#keys.generation) return;
      gone += 1n;
      if (held.lane === "d") later -= 1n;
    };
    const check = (held: Held): void => {
      heldOfCheck.push(held);
      checks.push({ kind: "version", key: held.key, version: held.version });
    };
    const addChecks = (along: Along): void => {
      for (const one of along.checks ?? []) {
        heldOfCheck.push(null);
        checks.push(one);
      }
    };
    for (const held of verdict.acked) {
      const along = work.alongAcked(held.message as StoredMessage, verdict.value ?? null, nowMs);
      check(held);
      addChecks(along);
      leave(held);
      writes.push(...along.writes);
      if (along.isUnwanted === true) effects.length = 0; // calls come one at a time
      effects.push(...along.effects);
    }
    for (const { held, error } of verdict.failed) {
      const message = held.message as StoredMessage;
      check(held);
      if (held.generation !== this.#keys.generation) {
        leave(held); // purged meanwhile
        continue;
      }
      const retry = decideRetry(message.attempts + 1, error, work.retryOf(message), random());
      if (retry.kind === "dead") {
        const along = work.alongDead(message, error, nowMs);
        addChecks(along);
        leave(held);
        writes.push(...along.writes);
        effects.push(...along.effects);
        continue;
      }
      const dueMs = nowMs + retry.delayMs;
      const again: StoredMessage = { ...message, attempts: message.attempts + 1 };
      if (held.group === null) {
        writes.push({ kind: "delete", key: held.key });
        if (held.lane !== "d") later += 1n;
        const prefix = lanePrefix(this.place, this.#keys, { dueMs });
        writes.push({ kind: "append", prefix, value: encodeMessage(again) });
      } else {
        const paused = { ...again, notBeforeMs: dueMs };
        writes.push({ kind: "set", key: held.key, value: encodeMessage(paused) });
        rewritten.push({ held, message: paused });
      }
    }
    if (verdict.acked.length + verdict.failed.length === 0) for (const held of verdict.back) check(held);
    const { waitMs } = verdict;
    const deferral = waitMs === undefined ? null : deferralOf(verdict.back, nowMs + waitMs, this.place, this.#keys);
    if (deferral !== null) {
      writes.push(...deferral.writes);
      rewritten.push(...deferral.rewritten);
      later += deferral.later;
    }
    if (gone > 0n) writes.push({ kind: "add", key: this.#keys.depth, amount: -gone });
    if (later !== 0n) writes.push({ kind: "add", key: this.#keys.later, amount: later });
    this.#acksSinceMark += Number(gone);
    if (this.#acksSinceMark >= markEvery) {
      this.#acksSinceMark = 0;
      writes.push({ kind: "set", key: this.#keys.mark, value: this.#window.position() });
    }
    const isEssential = effects.length === 0;
    const batch = { checks, writes, effects, seen: verdict.seen, isEssential };
    return { batch, heldOfCheck, rewritten, moved: deferral?.moved ?? new Set() };
  }

  /** Repeats it while its outcome is unknown: had it happened, its messages would not be there any more (rule 2). */
  async #commit(batch: StateBatch, delivery: Delivery): Promise<StateOutcome> {
    const { state } = this.#parts;
    let wasUnknown = false;
    for (let tries = 1; ; tries++) {
      try {
        const outcome = await state.commit(this.place.environment, batch);
        if (outcome.kind !== "lost" || outcome.check === 0 || !wasUnknown) return outcome;
        delivery.isDoubtful = true; // its version is not known
        return { kind: "committed", version: 0, results: [] };
      } catch (error) {
        const { code, fault } = asAloftError(error);
        // Also a store that is busy now leaves it open whether the one before has happened.
        const isOpen = code === "COMMIT_UNKNOWN" || (wasUnknown && fault === "platform" && code !== "SHUTTING_DOWN");
        if (!isOpen || tries >= unknownTries) {
          if (isOpen) delivery.isDoubtful = true;
          throw error;
        }
        wasUnknown = true;
        await this.#sleep(unknownPauseMs);
      }
    }
  }

  // --- waiting and stopping

  /** One of a kind. */
  #wait(what: string, delayMs: number, work: () => void): void {
    if (this.#isClosed) return;
    this.#stopWaits.get(what)?.();
    const cancel = this.#parts.schedule(delayMs, () => {
      this.#stopWaits.delete(what);
      work();
    });
    this.#stopWaits.set(what, cancel);
  }

  async #sleep(delayMs: number): Promise<void> {
    await new Promise<void>((resolve) => this.#parts.schedule(delayMs, resolve));
  }

  #track(work: Promise<void>): void {
    this.#running.add(work);
    void work.finally(() => this.#running.delete(work));
  }

  #stop(reason: unknown): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const unwatch of this.#unwatch.splice(0)) unwatch();
    for (const cancel of this.#stopWaits.values()) cancel();
    this.#alarm.set(null);
    const cancelAll = (): void => {
      for (const { cancel } of this.#deliveries) cancel();
    };
    if (reason === stopping) this.#parts.schedule(stopGraceMs, cancelAll);
    else cancelAll();
  }

  #report(error: unknown): void {
    if (this.#isClosed && error instanceof AloftError && error.code === "SHUTTING_DOWN") return;
    this.#parts.onError(error);
  }
}

interface Planned {
  readonly batch: StateBatch;
  /** Of each check after the first. */
  readonly heldOfCheck: readonly (Held | null)[];
  /** Messages of groups that stay where they are. */
  readonly rewritten: readonly { readonly held: Held; readonly message: StoredMessage }[];
  /** Messages that went back and are somewhere else now. */
  readonly moved: ReadonlySet<Held>;
}

function halve(messages: readonly Held[]): void {
  const half = halfOf(messages);
  for (const held of messages) held.batchMost = half;
}

function isExpired(message: StoredMessage | null, work: QueueWork, nowMs: number): boolean {
  if (message === null) return false;
  const maxAgeMs = work.maxAgeMsOf(message);
  return maxAgeMs !== null && nowMs - message.sentAtMs > maxAgeMs;
}

function expiredError({ message }: Held, nowMs: number): OutcomeError {
  return errorOf("MESSAGE_EXPIRED", `it has waited for ${Math.round((nowMs - (message?.sentAtMs ?? nowMs)) / 1000)} s`);
}

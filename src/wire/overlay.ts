/**
 * What a handler has written and not yet committed, laid over what is stored, and what it has read under check. Pure: it
 * reads through whatever it is given, so the runtime of JavaScript, the node (for the local API) and the simulation use the
 * same one.
 *
 * Of stores with keys (kv, blob) it holds one write for each key: set, delete, or an amount to add. Reads see them, lists
 * in the order of their keys. Writes to other kinds of state are kept in their order and cannot be read back.
 */
import type { Effect, ReadReply, ResourceKind, Seen, StateRead } from "./effects.ts";
import { compareKeys, cutBounds, type KvEntry, type KvPage, type KvValue, nextKey } from "./kv-shapes.ts";

/** As the platform's limit of the same name; here, so that a handler learns of it where it reads. */
export const readSetEntriesMax = 10_000;
/** As the platform's limit of effects. */
export const effectsMax = 1000;
/** The version of an entry that the handler has written itself: no commit has given it one yet. */
export const ownVersion = Number.MAX_SAFE_INTEGER;

/** An error with a code of the platform's table. */
export class StateError extends Error {
  override readonly name = "StateError";
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

type Args = Readonly<Record<string, unknown>>;

type Held =
  | { readonly kind: "set"; readonly args: Args }
  | { readonly kind: "delete" }
  | { readonly kind: "add"; readonly by: bigint };

interface Store {
  readonly resource: ResourceKind;
  readonly name: string;
  readonly held: Map<string, Held>;
}

const keyed: ReadonlySet<ResourceKind> = new Set<ResourceKind>(["kv", "blob"]);

export class Overlay {
  readonly #readThrough: (read: StateRead) => Promise<ReadReply>;
  readonly #stores = new Map<string, Store>();
  readonly #others: Effect[] = [];
  readonly #seen = new Map<string, Seen>();
  /** What takes back each write, in order. */
  readonly #undo: (() => void)[] = [];
  #heldKeys = 0;
  #seenEntries = 0;

  constructor(readThrough: (read: StateRead) => Promise<ReadReply>) {
    this.#readThrough = readThrough;
  }

  /** Everything that was read under check, failed reads aside. */
  seen(): readonly Seen[] {
    return [...this.#seen.values()];
  }

  effects(): readonly Effect[] {
    const effects: Effect[] = [];
    for (const { resource, name, held } of this.#stores.values()) {
      for (const [key, write] of held) effects.push(effectOf(resource, name, key, write));
    }
    return [...effects, ...this.#others];
  }

  /** Answers what the node would answer if the writes so far had been committed. */
  async read(read: StateRead): Promise<unknown> {
    if (keyed.has(read.resource)) {
      if (read.method === "get") return await this.#get(read);
      if (read.method === "list") return await this.#list(read);
    }
    return await this.#through(read);
  }

  /** Answers what the commit would answer; null where only the commit can tell. */
  async write(effect: Effect): Promise<unknown> {
    const { resource, name, method, args } = effect;
    const key = args["key"];
    if (!keyed.has(resource) || typeof key !== "string" || !["set", "delete", "increment"].includes(method)) {
      this.#assertRoom();
      this.#others.push(effect);
      this.#undo.push(() => this.#others.pop());
      return null;
    }
    const { ifAbsent, ifVersion, ...plain } = args;
    if (ifAbsent === true || typeof ifVersion === "number") {
      const current = (await this.#get({ resource, name, method: "get", args: { key } }))?.version ?? 0;
      if (current !== (ifAbsent === true ? 0 : ifVersion)) return false;
    }
    const { held } = this.#store(resource, name);
    if (method === "set") this.#hold(held, key, { kind: "set", args: plain });
    else if (method === "delete") this.#hold(held, key, { kind: "delete" });
    else this.#hold(held, key, added(held.get(key), amountOf(args["by"] ?? 1), key));
    return method === "increment" ? null : true;
  }

  /** To hand to `undo`: takes back what is written from here on. What was read stays read. */
  mark(): number {
    return this.#undo.length;
  }

  undo(mark: number): void {
    for (const takeBack of this.#undo.splice(mark).toReversed()) takeBack();
  }

  async #get(read: StateRead): Promise<KvEntry | null> {
    const { resource, name, args } = read;
    const key = String(args["key"]);
    const own = this.#store(resource, name).held.get(key);
    if (own !== undefined && own.kind !== "add") return merged(key, null, own);
    const stored = (await this.#through(read)) as KvEntry | null;
    // What was written in the meantime counts.
    return merged(key, stored, this.#store(resource, name).held.get(key));
  }

  /** A page of what is stored, with the own writes between where it begins and where it ends. */
  async #list(read: StateRead): Promise<KvPage> {
    const page = (await this.#through(read)) as KvPage;
    const { held } = this.#store(read.resource, read.name);
    if (held.size === 0) return page;
    const { prefix, start, end, reverse, limit } = read.args as {
      prefix?: string | null;
      start?: string | null;
      end?: string | null;
      reverse?: boolean | null;
      limit?: number | null;
    };
    const isReverse = reverse === true;
    const bounds = cutBounds(prefix ?? "", start ?? "", end ?? null);
    if (page.next !== null) bounds[isReverse ? "start" : "end"] = page.next;
    const entries = new Map<string, KvEntry | null>(page.entries.map((entry) => [entry.key, entry]));
    for (const [key, write] of held) {
      if (compareKeys(key, bounds.start) < 0 || (bounds.end !== null && compareKeys(key, bounds.end) >= 0)) continue;
      entries.set(key, merged(key, entries.get(key) ?? null, write));
    }
    const sorted = [...entries.values()].filter((entry) => entry !== null);
    sorted.sort((a, b) => (isReverse ? compareKeys(b.key, a.key) : compareKeys(a.key, b.key)));
    const most = limit ?? Number.POSITIVE_INFINITY;
    const last = sorted[most - 1];
    if (last === undefined || sorted.length === most) return { entries: sorted, next: page.next };
    return { entries: sorted.slice(0, most), next: isReverse ? last.key : nextKey(last.key) };
  }

  async #through(read: StateRead): Promise<unknown> {
    const { value, seen } = await this.#readThrough(read);
    for (const one of seen) this.#note(one);
    return value;
  }

  #note(seen: Seen): void {
    const id = JSON.stringify(seen);
    if (this.#seen.has(id)) return;
    this.#seenEntries += "key" in seen ? 1 : Math.max(1, seen.count);
    if (this.#seenEntries > readSetEntriesMax) {
      throw new StateError(
        "READ_SET_TOO_LARGE",
        `more than ${readSetEntriesMax} entries were read under check; read with { snapshot: true } what need not be checked`,
      );
    }
    this.#seen.set(id, seen);
  }

  #hold(held: Map<string, Held>, key: string, write: Held): void {
    const former = held.get(key);
    if (former === undefined) {
      this.#assertRoom();
      this.#heldKeys += 1;
    }
    held.set(key, write);
    this.#undo.push(() => {
      if (former !== undefined) held.set(key, former);
      else if (held.delete(key)) this.#heldKeys -= 1;
    });
  }

  #assertRoom(): void {
    if (this.#heldKeys + this.#others.length < effectsMax) return;
    throw new StateError("EFFECTS_TOO_LARGE", `more than ${effectsMax} writes in one handler; take smaller batches`);
  }

  #store(resource: ResourceKind, name: string): Store {
    const id = `${resource} ${name}`;
    let store = this.#stores.get(id);
    if (store === undefined) {
      store = { resource, name, held: new Map() };
      this.#stores.set(id, store);
    }
    return store;
  }
}

function merged(key: string, stored: KvEntry | null, own: Held | undefined): KvEntry | null {
  if (own === undefined) return stored;
  if (own.kind === "delete") return null;
  if (own.kind === "set") return { key, value: own.args["value"] as KvValue, version: ownVersion };
  const value = valueOfInteger((stored === null ? 0n : integerOf(stored.value, key)) + own.by);
  return stored === null ? { key, value, version: ownVersion } : { ...stored, value, version: ownVersion };
}

function added(former: Held | undefined, by: bigint, key: string): Held {
  if (former === undefined) return { kind: "add", by };
  switch (former.kind) {
    case "add":
      return { kind: "add", by: former.by + by };
    case "delete":
      return { kind: "set", args: { key, value: valueOfInteger(by) } };
    case "set": {
      const value = valueOfInteger(integerOf(former.args["value"], key) + by);
      return { kind: "set", args: { ...former.args, value } };
    }
  }
}

function effectOf(resource: ResourceKind, name: string, key: string, write: Held): Effect {
  if (write.kind === "set") return { resource, name, method: "set", args: write.args };
  if (write.kind === "delete") return { resource, name, method: "delete", args: { key } };
  const by = Number(write.by);
  return { resource, name, method: "increment", args: { key, by: Number.isSafeInteger(by) ? by : String(write.by) } };
}

function amountOf(by: unknown): bigint {
  if (typeof by === "number" && Number.isSafeInteger(by)) return BigInt(by);
  if (typeof by === "string" && /^-?\d{1,19}$/.test(by)) return BigInt(by);
  throw new StateError("REQUEST_INVALID", '"by" must be an integer of 64 bits');
}

function integerOf(value: unknown, key: string): bigint {
  if (typeof value === "object" && value !== null) {
    const { json, big } = value as { json?: unknown; big?: unknown };
    if (typeof json === "number" && Number.isSafeInteger(json)) return BigInt(json);
    if (typeof big === "string") return BigInt(big);
  }
  throw new StateError("NOT_AN_INTEGER", `the value of "${key}" is no integer, so nothing can be added to it`);
}

function valueOfInteger(integer: bigint): KvValue {
  const number = Number(integer);
  return Number.isSafeInteger(number) ? { json: number } : { big: String(integer) };
}

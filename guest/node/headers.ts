/**
 * `Headers` as the Fetch standard has it (https://fetch.spec.whatwg.org/#headers-class), without the module that Node's own
 * comes in. Iterates in the standard's order: by name, each `set-cookie` on its own.
 */
import { inspect } from "node:util";
import { loadedWeb, replaceGlobal } from "./native-web.ts";

export type HeadersInit = ConstructorParameters<typeof globalThis.Headers>[0];

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const edges = /^[\t\n\r ]+|[\t\n\r ]+$/g;
// oxlint-disable-next-line no-control-regex -- control characters are what it is about
const refusedInValue = /[\0\r\n]|[^\0-\xff]/;

/** The name in lower case. Throws TypeError. */
export function headerName(name: unknown): string {
  const text = String(name);
  if (!token.test(text)) throw new TypeError(`Headers: ${JSON.stringify(text)} is not a valid header name`);
  return text.toLowerCase();
}

/** The value without white space around it. Throws TypeError. */
export function headerValue(value: unknown): string {
  const text = String(value).replace(edges, "");
  if (refusedInValue.test(text)) throw new TypeError(`Headers: ${JSON.stringify(text)} is not a valid header value`);
  return text;
}

const fillKey = Symbol("fill");

export class LightHeaders {
  /** Lower-case names; values that came more than once are joined, but for cookies. */
  readonly #values = new Map<string, string>();
  #cookies: string[] = [];

  constructor(init?: HeadersInit) {
    if (init === undefined) return;
    if (typeof init !== "object" || init === null) throw new TypeError("Headers: the initial value must be an object");
    const given: unknown = init;
    if (isIterable(given)) {
      for (const pair of given) {
        const parts = isIterable(pair) ? [...pair] : [];
        if (parts.length !== 2) throw new TypeError("Headers: each of a list must be a pair of name and value");
        this.append(parts[0] as string, parts[1] as string);
      }
      return;
    }
    for (const name of Reflect.ownKeys(init)) {
      if (typeof name === "symbol") throw new TypeError("Headers: a symbol is not a header name");
      if (Object.getOwnPropertyDescriptor(init, name)?.enumerable === true) {
        this.append(name, (init as Record<string, string>)[name] as string);
      }
    }
  }

  /** From the wire or from checked values: name, value, name, value, ...; names in lower case. */
  static [fillKey](pairs: readonly string[]): LightHeaders {
    const headers = new LightHeaders();
    for (let at = 0; at + 1 < pairs.length; at += 2) headers.#add(pairs[at] as string, pairs[at + 1] as string);
    return headers;
  }

  static [Symbol.hasInstance](value: unknown): boolean {
    if (typeof value !== "object" || value === null) return false;
    return #values in value || loadedWeb()?.Headers.prototype.isPrototypeOf(value) === true;
  }

  get [Symbol.toStringTag](): string {
    return "Headers";
  }

  append(name: string, value: string): void {
    needs(arguments.length, 2, "append");
    this.#add(headerName(name), headerValue(value));
  }

  set(name: string, value: string): void {
    needs(arguments.length, 2, "set");
    const key = headerName(name);
    const text = headerValue(value);
    if (key === "set-cookie") this.#cookies = [text];
    else this.#values.set(key, text);
  }

  get(name: string): string | null {
    needs(arguments.length, 1, "get");
    const key = headerName(name);
    if (key === "set-cookie") return this.#cookies.length === 0 ? null : this.#cookies.join(", ");
    return this.#values.get(key) ?? null;
  }

  has(name: string): boolean {
    needs(arguments.length, 1, "has");
    const key = headerName(name);
    return key === "set-cookie" ? this.#cookies.length > 0 : this.#values.has(key);
  }

  delete(name: string): void {
    needs(arguments.length, 1, "delete");
    const key = headerName(name);
    if (key === "set-cookie") this.#cookies = [];
    else this.#values.delete(key);
  }

  getSetCookie(): string[] {
    return [...this.#cookies];
  }

  forEach(callback: (value: string, name: string, headers: LightHeaders) => void, self?: unknown): void {
    for (const [name, value] of this) callback.call(self, value, name, this);
  }

  *entries(): IterableIterator<[string, string]> {
    // Sorted anew at each step, for what is changed while it is walked shows, as the standard wants it.
    for (let at = 0; ; at += 1) {
      const pair = this.#sorted()[at];
      if (pair === undefined) return;
      yield pair;
    }
  }

  *keys(): IterableIterator<string> {
    for (const [name] of this) yield name;
  }

  *values(): IterableIterator<string> {
    for (const [, value] of this) yield value;
  }

  [Symbol.iterator](): IterableIterator<[string, string]> {
    return this.entries();
  }

  [inspect.custom](_depth: number, options: object): string {
    return `Headers ${inspect(Object.fromEntries(this), options)}`;
  }

  /** Name, value, name, value, ... in no particular order; each cookie on its own. */
  toPairs(): string[] {
    const pairs: string[] = [];
    for (const [name, value] of this.#values) pairs.push(name, value);
    for (const cookie of this.#cookies) pairs.push("set-cookie", cookie);
    return pairs;
  }

  #add(name: string, value: string): void {
    if (name === "set-cookie") {
      this.#cookies.push(value);
      return;
    }
    const before = this.#values.get(name);
    this.#values.set(name, before === undefined ? value : `${before}${name === "cookie" ? "; " : ", "}${value}`);
  }

  #sorted(): [string, string][] {
    const pairs: [string, string][] = [...this.#values];
    for (const cookie of this.#cookies) pairs.push(["set-cookie", cookie]);
    return pairs.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  }
}

/** Headers from pairs that are known to be good. */
export function headersFrom(pairs: readonly string[]): LightHeaders {
  return LightHeaders[fillKey](pairs);
}

/** Name, value, name, value, ...; each `set-cookie` on its own. */
export function pairsOf(headers: LightHeaders | Headers): string[] {
  const given: unknown = headers;
  if (given instanceof LightHeaders && "toPairs" in given) return given.toPairs();
  const pairs: string[] = [];
  for (const [name, value] of headers) pairs.push(name, value);
  return pairs;
}

export function installHeaders(): void {
  Object.defineProperty(LightHeaders, "name", { value: "Headers" });
  replaceGlobal("Headers", LightHeaders, () => {});
}

function isIterable(value: unknown): value is Iterable<unknown> {
  return (
    typeof value === "object" &&
    value !== null &&
    typeof (value as { [Symbol.iterator]?: unknown })[Symbol.iterator] === "function"
  );
}

function needs(given: number, wanted: number, method: string): void {
  if (given < wanted) throw new TypeError(`Headers.${method}: ${wanted} arguments are needed, and ${given} were given`);
}

/**
 * The `Request` a handler gets: it is a `Request` to every check, but the web object behind it is only made when
 * something is asked of it that the plain fields cannot answer. A handler that looks at the method, the URL and a JSON
 * body never pays for the 10 to 20 microseconds of the real one.
 */
import type { BodySource } from "./body.ts";

const NativeRequest = globalThis.Request;

/** What the wire said of the request. Header names are lower case; `headers` holds name, value, name, value, ... */
export interface RequestHead {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly string[];
}

const nativeOf = Symbol("native request");

export class LightRequest {
  readonly #head: RequestHead;
  readonly #source: BodySource | null;
  readonly #signalOf: () => AbortSignal;
  #headers: Headers | null = null;
  #native: Request | null = null;
  #isUsed = false;

  constructor(head: RequestHead, source: BodySource | null, signalOf: () => AbortSignal) {
    this.#head = head;
    this.#source = source;
    this.#signalOf = signalOf;
  }

  get method(): string {
    return this.#head.method;
  }

  get url(): string {
    return this.#head.url;
  }

  get headers(): Headers {
    if (this.#native !== null) return this.#native.headers;
    this.#headers ??= headersFrom(this.#head.headers);
    return this.#headers;
  }

  get signal(): AbortSignal {
    return this.#signalOf();
  }

  get bodyUsed(): boolean {
    return this.#native === null ? this.#isUsed : this.#native.bodyUsed;
  }

  get body(): ReadableStream<Uint8Array> | null {
    return this.#source === null && this.#native === null ? null : this[nativeOf]().body as ReadableStream<Uint8Array> | null;
  }

  async text(): Promise<string> {
    if (this.#native !== null) return await this.#native.text();
    return decodeText(await this.#bytes());
  }

  async json(): Promise<unknown> {
    if (this.#native !== null) return await this.#native.json();
    return JSON.parse(decodeText(await this.#bytes()));
  }

  async bytes(): Promise<Uint8Array> {
    if (this.#native !== null) return new Uint8Array(await this.#native.arrayBuffer());
    const bytes = await this.#bytes();
    return new Uint8Array(bytes);
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return (await this.bytes()).buffer as ArrayBuffer;
  }

  async blob(): Promise<Blob> {
    return await this[nativeOf]().blob();
  }

  async formData(): Promise<FormData> {
    return await this[nativeOf]().formData();
  }

  clone(): Request {
    return this[nativeOf]().clone();
  }

  get cache(): string {
    return "default";
  }

  get credentials(): string {
    return "same-origin";
  }

  get destination(): string {
    return "";
  }

  get integrity(): string {
    return "";
  }

  get keepalive(): boolean {
    return false;
  }

  get mode(): string {
    return "cors";
  }

  get redirect(): string {
    return "follow";
  }

  get referrer(): string {
    return "about:client";
  }

  get referrerPolicy(): string {
    return "";
  }

  get duplex(): string {
    return "half";
  }

  /** The real web object, made once; from then on it is the one that counts. */
  [nativeOf](): Request {
    if (this.#native !== null) return this.#native;
    const init: RequestInit & { duplex: "half" } = {
      method: this.#head.method,
      headers: this.headers,
      signal: this.#signalOf(),
      duplex: "half",
    };
    if (this.#source !== null) init.body = this.#isUsed ? new Uint8Array(0) : this.#source.stream();
    const native = new NativeRequest(this.#head.url, init);
    // A body that was read before stays read.
    if (this.#isUsed && this.#source !== null) void native.text();
    this.#native = native;
    return native;
  }

  [Symbol.for("nodejs.util.inspect.custom")](): Request {
    return this[nativeOf]();
  }

  async #bytes(): Promise<Buffer> {
    if (this.#isUsed) throw new TypeError("Body is unusable: Body has already been read");
    if (this.#source === null) return emptyBytes;
    this.#isUsed = true;
    return await this.#source.bytes();
  }
}

const emptyBytes = Buffer.alloc(0);

/** The web object behind one of ours; anything else is returned as it is. */
export function unwrapRequest(input: unknown): unknown {
  return input instanceof LightRequest ? input[nativeOf]() : input;
}

export function headersFrom(pairs: readonly string[]): Headers {
  const headers = new Headers();
  for (let at = 0; at + 1 < pairs.length; at += 2) headers.append(pairs[at] as string, pairs[at + 1] as string);
  return headers;
}

/** UTF-8 as the web decodes it: without a leading byte-order mark. */
export function decodeText(bytes: Buffer): string {
  const start = bytes.length >= 3 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
  return bytes.toString("utf8", start);
}

/** Makes ours pass for the real ones, everywhere: `instanceof Request`, `new Request(request)`, `fetch(request)`. */
export function installRequest(): void {
  Object.setPrototypeOf(LightRequest.prototype, NativeRequest.prototype);
  globalThis.Request = new Proxy(NativeRequest, {
    construct(target, parameters, newTarget) {
      if (parameters[0] instanceof LightRequest) parameters[0] = unwrapRequest(parameters[0]);
      return Reflect.construct(target, parameters, newTarget) as Request;
    },
  });
  const nativeFetch = globalThis.fetch;
  globalThis.fetch = function fetch(input, init) {
    return nativeFetch(unwrapRequest(input) as string, init);
  };
}

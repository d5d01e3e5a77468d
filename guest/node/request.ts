/**
 * The `Request` a handler gets: it is a `Request` to every check, but the web's own object is only made when something
 * is asked of it that the plain fields cannot answer. A handler that looks at the method, the URL, headers and a JSON body
 * never pays for it.
 */
import { Readable } from "node:stream";
import type { BodySource } from "./body.ts";
import { headersFrom, type LightHeaders } from "./headers.ts";
import { loadedWeb, nativeWeb, replaceGlobal } from "./native-web.ts";

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
  #headers: LightHeaders | null = null;
  #stream: ReadableStream<Uint8Array> | null = null;
  #native: Request | null = null;
  #isUsed = false;

  constructor(head: RequestHead, source: BodySource | null, signalOf: () => AbortSignal) {
    this.#head = head;
    this.#source = source;
    this.#signalOf = signalOf;
  }

  get [Symbol.toStringTag](): string {
    return "Request";
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
    return this.#headers as unknown as Headers;
  }

  get signal(): AbortSignal {
    return this.#signalOf();
  }

  get bodyUsed(): boolean {
    if (this.#native !== null) return this.#native.bodyUsed;
    return this.#isUsed || (this.#stream !== null && Readable.isDisturbed(this.#stream));
  }

  get body(): ReadableStream<Uint8Array> | null {
    if (this.#native !== null) return this.#native.body as ReadableStream<Uint8Array> | null;
    if (this.#source === null) return null;
    // After it was read some other way, the web's own object shows a body that is used up.
    if (this.#isUsed) return this[nativeOf]().body as ReadableStream<Uint8Array> | null;
    this.#stream ??= this.#source.stream();
    return this.#stream;
  }

  async text(): Promise<string> {
    if (this.#isBeyondBytes) return await this[nativeOf]().text();
    return decodeText(await this.#bytes());
  }

  async json(): Promise<unknown> {
    if (this.#isBeyondBytes) return await this[nativeOf]().json();
    return JSON.parse(decodeText(await this.#bytes()));
  }

  async bytes(): Promise<Uint8Array> {
    if (this.#isBeyondBytes) return new Uint8Array(await this[nativeOf]().arrayBuffer());
    return new Uint8Array(await this.#bytes());
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

  /** The web's own object, made once; from then on it is the one that counts. */
  [nativeOf](): Request {
    if (this.#native !== null) return this.#native;
    const NativeRequest = nativeWeb().Request;
    const init: RequestInit & { duplex: "half" } = {
      method: this.#head.method,
      headers: this.headers,
      signal: this.#signalOf(),
      duplex: "half",
    };
    if (this.#source !== null) init.body = this.#isUsed ? new Uint8Array(0) : (this.#stream ?? this.#source.stream());
    const native = new NativeRequest(this.#head.url, init);
    // A body that was read before stays read.
    if (this.#isUsed && this.#source !== null) void native.text();
    this.#native = native;
    return native;
  }

  [Symbol.for("nodejs.util.inspect.custom")](): Request {
    return this[nativeOf]();
  }

  static isOurs(value: unknown): value is LightRequest {
    return typeof value === "object" && value !== null && #head in value;
  }

  /** Its bytes have already been given out as a stream or to the web's own object. */
  get #isBeyondBytes(): boolean {
    return this.#native !== null || this.#stream !== null;
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
  return LightRequest.isOurs(input) ? input[nativeOf]() : input;
}

/** UTF-8 as the web decodes it: without a leading byte-order mark. */
export function decodeText(bytes: Buffer): string {
  const start = bytes.length >= 3 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
  return bytes.toString("utf8", start);
}

/**
 * Makes ours pass for the web's everywhere: `instanceof Request`, `new Request(request)`, `fetch(request)`. The global
 * stands for the real class, and loads it when anything but `instanceof` is asked of it.
 */
export function installRequest(): void {
  function isRequest(value: unknown): boolean {
    return LightRequest.isOurs(value) || (loadedWeb() !== null && value instanceof nativeWeb().Request);
  }
  const standIn: object = new Proxy(function Request() {}, {
    construct(_target, [input, ...rest]: unknown[], newTarget): object {
      const NativeRequest = nativeWeb().Request;
      const made: object = newTarget === standIn ? NativeRequest : newTarget;
      return Reflect.construct(NativeRequest, [unwrapRequest(input), ...rest], made as typeof Request) as object;
    },
    get: (_target, name): unknown => (name === Symbol.hasInstance ? isRequest : Reflect.get(nativeWeb().Request, name)),
    has: (_target, name) => Reflect.has(nativeWeb().Request, name),
  });
  replaceGlobal("Request", standIn, ({ Request: NativeRequest }) => {
    Object.setPrototypeOf(LightRequest.prototype, NativeRequest.prototype);
  });
  const nativeFetch = globalThis.fetch;
  globalThis.fetch = function fetch(input, init) {
    return nativeFetch(unwrapRequest(input) as string, init);
  };
}

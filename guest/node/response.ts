/**
 * The `Response` of the guest: status, headers and body stay the plain values they were given as until something is
 * asked that needs the web's own object. Answering `new Response("hello")` then costs a string, not a stream.
 */
import { Readable } from "node:stream";
import { inspect } from "node:util";
import { type HeadersInit, headersFrom, headerName, headerValue, LightHeaders, pairsOf } from "./headers.ts";
import { loadedWeb, nativeWeb, replaceGlobal } from "./native-web.ts";

type BodyInit = ConstructorParameters<typeof globalThis.Response>[0];
export type PlainBody = string | Uint8Array | ReadableStream<Uint8Array> | null;

/** Status, headers and body as plain values; `headers` holds name, value, name, value, ... in lower case. */
export interface PlainResponse {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: PlainBody;
}

const plainOf = Symbol("plain response");
const nativeOf = Symbol("native response");
const noBodyStatuses: ReadonlySet<number> = new Set([204, 205, 304]);
const redirectStatuses: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const statusTextRule = /^[\t\x20-\x7e\x80-\xff]*$/;

export class LightResponse {
  #status = 200;
  #statusText = "";
  #pairs: string[] = [];
  #body: PlainBody = null;
  #headers: LightHeaders | null = null;
  #native: Response | null = null;
  #isUsed = false;

  constructor(body?: BodyInit | null, init?: ResponseInit) {
    if (init !== undefined && init !== null) this.#takeInit(init);
    if (body === undefined || body === null) return;
    if (noBodyStatuses.has(this.#status)) {
      throw new TypeError(`Response with status ${this.#status} cannot have body`);
    }
    const type = this.#takeBody(body);
    // What only the web's own class can read (Blob, FormData, iterables) is its from the start.
    if (type === null) this.#native = new (nativeWeb().Response)(body, init);
    else if (type !== "" && !this.#hasContentType()) this.#pairs.push("content-type", type);
  }

  static json(data: unknown, init?: ResponseInit): LightResponse {
    const text = JSON.stringify(data);
    if (text === undefined) throw new TypeError("Response.json: the value is not JSON serializable");
    const response = new LightResponse(null, init);
    if (noBodyStatuses.has(response.#status)) {
      throw new TypeError(`Response with status ${response.#status} cannot have body`);
    }
    response.#body = text;
    if (!response.#hasContentType()) response.#pairs.push("content-type", "application/json");
    return response;
  }

  static error(): Response {
    return nativeWeb().Response.error();
  }

  static redirect(url: string | URL, status = 302): LightResponse {
    const location = new URL(String(url)).href;
    if (!redirectStatuses.has(status)) throw new RangeError(`Invalid status code ${status}`);
    return new LightResponse(null, { status, headers: { location } });
  }

  static [Symbol.hasInstance](value: unknown): boolean {
    return isResponse(value);
  }

  static isOurs(value: unknown): value is LightResponse {
    return typeof value === "object" && value !== null && #pairs in value;
  }

  get [Symbol.toStringTag](): string {
    return "Response";
  }

  get status(): number {
    return this.#native === null ? this.#status : this.#native.status;
  }

  get statusText(): string {
    return this.#native === null ? this.#statusText : this.#native.statusText;
  }

  get ok(): boolean {
    return this.status >= 200 && this.status <= 299;
  }

  get headers(): Headers {
    if (this.#native !== null) return this.#native.headers;
    this.#headers ??= headersFrom(this.#pairs);
    return this.#headers as unknown as Headers;
  }

  get body(): ReadableStream<Uint8Array> | null {
    if (this.#native === null && this.#body === null) return null;
    return this[nativeOf]().body as ReadableStream<Uint8Array> | null;
  }

  get bodyUsed(): boolean {
    return this.#native === null ? this.#isUsed : this.#native.bodyUsed;
  }

  get type(): string {
    return this.#native === null ? "default" : this.#native.type;
  }

  get url(): string {
    return this.#native === null ? "" : this.#native.url;
  }

  get redirected(): boolean {
    return this.#native !== null && this.#native.redirected;
  }

  clone(): Response {
    return this[nativeOf]().clone();
  }

  async text(): Promise<string> {
    if (this.#native === null && !this.#isUsed) {
      if (this.#body === null) return "";
      if (typeof this.#body === "string") {
        this.#isUsed = true;
        return this.#body.isWellFormed() ? this.#body.replace(/^\ufeff/, "") : Buffer.from(this.#body).toString();
      }
    }
    return await this[nativeOf]().text();
  }

  async json(): Promise<unknown> {
    return JSON.parse(await this.text());
  }

  async bytes(): Promise<Uint8Array> {
    return new Uint8Array(await this[nativeOf]().arrayBuffer());
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return await this[nativeOf]().arrayBuffer();
  }

  async blob(): Promise<Blob> {
    return await this[nativeOf]().blob();
  }

  async formData(): Promise<FormData> {
    return await this[nativeOf]().formData();
  }

  [inspect.custom](): Response {
    return this[nativeOf]();
  }

  /** The plain values when nothing has asked for more, else null. */
  [plainOf](): PlainResponse | null {
    if (this.#native !== null || this.#isUsed) return null;
    const headers = this.#headers === null ? this.#pairs : pairsOf(this.#headers);
    return { status: this.#status, headers, body: this.#body };
  }

  /** The web's own object, made once; from then on it is the one that counts. */
  [nativeOf](): Response {
    if (this.#native !== null) return this.#native;
    this.#native = new (nativeWeb().Response)(this.#body as BodyInit, {
      status: this.#status,
      statusText: this.#statusText,
      headers: this.headers,
    });
    // A body that was read before stays read.
    if (this.#isUsed) void this.#native.text();
    return this.#native;
  }

  #takeInit({ status, statusText, headers }: ResponseInit): void {
    if (status !== undefined) {
      const number = Number(status) & 0xffff;
      if (number < 200 || number > 599) {
        throw new RangeError('init["status"] must be in the range of 200 to 599, inclusive.');
      }
      this.#status = number;
    }
    if (statusText !== undefined) {
      const text = String(statusText);
      if (!statusTextRule.test(text)) throw new TypeError("Invalid statusText");
      this.#statusText = text;
    }
    if (headers !== undefined && headers !== null) this.#takeHeaders(headers);
  }

  #takeHeaders(headers: NonNullable<HeadersInit>): void {
    if (Object.getPrototypeOf(headers) !== Object.prototype) {
      this.#pairs = new LightHeaders(headers).toPairs();
      return;
    }
    const pairs: string[] = [];
    for (const name of Object.keys(headers)) {
      const key = headerName(name);
      if (pairs.includes(key)) {
        this.#pairs = new LightHeaders(headers).toPairs();
        return;
      }
      pairs.push(key, headerValue((headers as Record<string, unknown>)[name]));
    }
    this.#pairs = pairs;
  }

  /** The content type that the body implies, "" for none; null when it is not one of the plain ones. */
  #takeBody(body: unknown): string | null {
    if (typeof body === "string") {
      this.#body = body;
      return "text/plain;charset=UTF-8";
    }
    if (ArrayBuffer.isView(body)) {
      // Copied, for the caller may go on using it.
      this.#body = Buffer.from(Buffer.from(body.buffer as ArrayBuffer, body.byteOffset, body.byteLength));
      return "";
    }
    if (body instanceof ArrayBuffer) {
      this.#body = Buffer.from(Buffer.from(body));
      return "";
    }
    if (body instanceof URLSearchParams) {
      this.#body = body.toString();
      return "application/x-www-form-urlencoded;charset=UTF-8";
    }
    if (isFreeStream(body)) {
      this.#body = body;
      return "";
    }
    return null;
  }

  #hasContentType(): boolean {
    for (let at = 0; at < this.#pairs.length; at += 2) if (this.#pairs[at] === "content-type") return true;
    return false;
  }
}

/** A ReadableStream that nobody has read from; what is wrong with another one the web's own class says. */
function isFreeStream(body: unknown): body is ReadableStream<Uint8Array> {
  if (typeof body !== "object" || body === null || !("getReader" in body)) return false;
  if (Object.prototype.toString.call(body) !== "[object ReadableStream]") return false;
  return !(body as ReadableStream).locked && !Readable.isDisturbed(body as unknown as Readable);
}

export function plainResponseOf(response: unknown): PlainResponse | null {
  return LightResponse.isOurs(response) ? response[plainOf]() : null;
}

export function nativeResponseOf(response: Response): Response {
  const given: unknown = response;
  return LightResponse.isOurs(given) ? given[nativeOf]() : response;
}

export function isResponse(value: unknown): value is Response {
  if (LightResponse.isOurs(value)) return true;
  const native = loadedWeb()?.Response;
  return native !== undefined && typeof value === "object" && value !== null && native.prototype.isPrototypeOf(value);
}

export function installResponse(): void {
  Object.defineProperty(LightResponse, "name", { value: "Response" });
  replaceGlobal("Response", LightResponse, ({ Response: NativeResponse }) => {
    Object.setPrototypeOf(LightResponse.prototype, NativeResponse.prototype);
  });
}

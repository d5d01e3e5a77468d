/**
 * The `Response` of the guest: status, headers and body stay the plain values they were given as until something is
 * asked that needs the web object. Answering `new Response("hello")` then costs a string, not a stream.
 */
import { inspect } from "node:util";

const NativeResponse = globalThis.Response;

/** Characters of a header name (RFC 9110 token) and of a value, as the web's own checks allow them. */
const headerName = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// oxlint-disable-next-line no-control-regex -- control characters are what it is about
const headerValue = /^[\t\x20-\x7e\x80-\xff]*$/;

type BodyInit = ConstructorParameters<typeof NativeResponse>[0];
type HeadersInit = ConstructorParameters<typeof Headers>[0];
type RedirectStatus = Parameters<typeof NativeResponse.redirect>[1];

type PlainBody = string | Uint8Array | null;

/** Status, headers and body as plain values; `headers` holds name, value, name, value, ... in lower case. */
export interface PlainResponse {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: PlainBody;
}

const plainOf = Symbol("plain response");
const nativeOf = Symbol("native response");
const wrapNative = Symbol("wrap native response");

export class LightResponse {
  #status = 200;
  #statusText = "";
  #pairs: string[] | null = null;
  #body: PlainBody = null;
  #headers: Headers | null = null;
  #native: Response | null = null;

  constructor(body?: BodyInit | null, init?: ResponseInit) {
    if (!this.#takePlain(body, init)) this.#native = new NativeResponse(body, init);
  }

  static json(data: unknown, init?: ResponseInit): LightResponse {
    const text = JSON.stringify(data);
    // Undefined is what the web refuses too: let its own words say so.
    if (text === undefined) return wrap(NativeResponse.json(data, init));
    const response = new LightResponse(text, init);
    if (response.#native !== null) {
      response.#native = NativeResponse.json(data, init);
      return response;
    }
    response.#pairs ??= [];
    const given = response.#pairs.indexOf("content-type");
    if (given < 0) response.#pairs.push("content-type", "application/json");
    else if (response.#isTypeImplied) response.#pairs[given + 1] = "application/json";
    return response;
  }

  static error(): Response {
    return NativeResponse.error();
  }

  static redirect(url: string | URL, status?: RedirectStatus): Response {
    return NativeResponse.redirect(url, status);
  }

  static [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === "object" && value !== null && NativeResponse.prototype.isPrototypeOf(value);
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
    if (this.#headers === null) {
      this.#headers = new Headers();
      const pairs = this.#pairs ?? [];
      for (let at = 0; at < pairs.length; at += 2) this.#headers.append(pairs[at] as string, pairs[at + 1] as string);
    }
    return this.#headers;
  }

  get body(): ReadableStream<Uint8Array> | null {
    return this[nativeOf]().body as ReadableStream<Uint8Array> | null;
  }

  get bodyUsed(): boolean {
    return this.#native !== null && this.#native.bodyUsed;
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
    return await this[nativeOf]().text();
  }

  async json(): Promise<unknown> {
    return await this[nativeOf]().json();
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
    if (this.#native !== null) return null;
    const headers = this.#headers === null ? (this.#pairs ?? []) : pairsOf(this.#headers);
    return { status: this.#status, headers, body: this.#body };
  }

  /** The web object, made once; from then on it is the one that counts. */
  [nativeOf](): Response {
    this.#native ??= new NativeResponse(this.#body as BodyInit, {
      status: this.#status,
      statusText: this.#statusText,
      headers: this.headers,
    });
    return this.#native;
  }

  static [wrapNative](native: Response): LightResponse {
    const response = new LightResponse();
    response.#native = native;
    return response;
  }

  /** The content type came from the body, not from the caller. */
  #isTypeImplied = false;

  /** false when only the web's own constructor can tell what is meant or what is wrong. */
  #takePlain(body: BodyInit | null | undefined, init: ResponseInit | undefined): boolean {
    const isText = typeof body === "string";
    if (!isText && body !== null && body !== undefined && !(body instanceof Uint8Array)) return false;
    if (init !== undefined && init !== null) {
      const { status, statusText, headers } = init;
      if (status !== undefined) {
        if (!Number.isInteger(status) || status < 200 || status > 599) return false;
        if (body !== null && body !== undefined && (status === 204 || status === 205 || status === 304)) return false;
        this.#status = status;
      }
      if (statusText !== undefined && statusText !== "") {
        if (typeof statusText !== "string" || !headerValue.test(statusText)) return false;
        this.#statusText = statusText;
      }
      if (headers !== undefined && !this.#takeHeaders(headers)) return false;
    }
    // A view that the caller goes on using must not change what was answered.
    this.#body = isText ? body : body instanceof Uint8Array ? Buffer.from(body) : null;
    if (isText && (this.#pairs === null || !this.#pairs.includes("content-type"))) {
      this.#pairs ??= [];
      this.#pairs.push("content-type", "text/plain;charset=UTF-8");
      this.#isTypeImplied = true;
    }
    return true;
  }

  #takeHeaders(headers: HeadersInit): boolean {
    if (typeof headers !== "object" || headers === null) return false;
    if (Object.getPrototypeOf(headers) !== Object.prototype) return false;
    const pairs: string[] = [];
    for (const name in headers) {
      const value = (headers as Record<string, unknown>)[name];
      if (typeof value !== "string" || !headerName.test(name) || !headerValue.test(value)) return false;
      const lower = name.toLowerCase();
      if (pairs.includes(lower)) return false;
      pairs.push(lower, value.trim());
    }
    this.#pairs = pairs;
    return true;
  }
}

function wrap(native: Response): LightResponse {
  return LightResponse[wrapNative](native);
}

/** Name, value, name, value, ...; each `set-cookie` on its own. */
export function pairsOf(headers: Headers): string[] {
  const pairs: string[] = [];
  for (const [name, value] of headers) pairs.push(name, value);
  return pairs;
}

export function plainResponseOf(response: unknown): PlainResponse | null {
  return isOurs(response) ? response[plainOf]() : null;
}

export function nativeResponseOf(response: Response): Response {
  const given: unknown = response;
  return isOurs(given) ? given[nativeOf]() : response;
}

/** `instanceof` says yes to the web's own responses too; this does not. */
function isOurs(value: unknown): value is LightResponse {
  return typeof value === "object" && value !== null && plainOf in value;
}

export function isResponse(value: unknown): value is Response {
  return typeof value === "object" && value !== null && NativeResponse.prototype.isPrototypeOf(value);
}

export function installResponse(): void {
  Object.setPrototypeOf(LightResponse.prototype, NativeResponse.prototype);
  Object.setPrototypeOf(LightResponse, NativeResponse);
  Object.defineProperty(LightResponse, "name", { value: "Response" });
  globalThis.Response = LightResponse as unknown as typeof Response;
}

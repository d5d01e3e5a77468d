/**
 * A small HTTP/1.1 client over raw sockets, for where a load tool tells too little: the time of the first byte of one
 * request, and loads of an exact number of requests with every body checked.
 *
 * It reads answers with Content-Length or in chunks, which is what servers send; anything else is a failure.
 */
import { type Socket, connect } from "node:net";
import { once } from "node:events";

export interface Target {
  readonly url: string;
  readonly host?: string;
}

export interface Ask {
  readonly method: string;
  readonly path: string;
  readonly body: string;
}

export interface Answer {
  readonly status: number;
  readonly head: string;
  readonly body: string;
  /** From the moment before connecting, or before writing on an open connection, to the first byte. */
  readonly firstByteUs: number;
  readonly totalUs: number;
}

const answerMs = 30_000;

/** One connection that sends one request after the other. */
export class Connection {
  #target: Target;
  #socket: Socket | null = null;

  constructor(target: Target) {
    this.#target = target;
  }

  async ask(ask: Ask): Promise<Answer> {
    const startedMs = performance.now();
    const socket = await this.#open();
    const answered = readAnswer(socket, startedMs);
    socket.write(requestText(this.#target, ask));
    const answer = await answered;
    if (/^connection: *close/im.test(answer.head)) this.close();
    return answer;
  }

  close(): void {
    this.#socket?.destroy();
    this.#socket = null;
  }

  async #open(): Promise<Socket> {
    if (this.#socket !== null && !this.#socket.destroyed && this.#socket.writable) return this.#socket;
    const { hostname, port } = new URL(this.#target.url);
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    this.#socket = socket;
    await once(socket, "connect");
    return socket;
  }
}

/** One request on a connection of its own, connecting included. */
export async function askOnce(target: Target, ask: Ask): Promise<Answer> {
  const connection = new Connection(target);
  try {
    return await connection.ask(ask);
  } finally {
    connection.close();
  }
}

function requestText(target: Target, ask: Ask): string {
  const type =
    ask.body === "" ? "" : `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(ask.body)}\r\n`;
  return `${ask.method} ${ask.path} HTTP/1.1\r\nhost: ${target.host ?? new URL(target.url).host}\r\n${type}\r\n${ask.body}`;
}

function readAnswer(socket: Socket, startedMs: number): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let firstByteUs = 0;
    let received: Buffer = Buffer.alloc(0);
    const fail = (error: Error): void => {
      finish();
      socket.destroy();
      reject(error);
    };
    const onData = (chunk: Buffer): void => {
      if (firstByteUs === 0) firstByteUs = (performance.now() - startedMs) * 1000;
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
      const parsed = parseAnswer(received);
      if (parsed === null) return;
      finish();
      resolve({ ...parsed, firstByteUs, totalUs: (performance.now() - startedMs) * 1000 });
    };
    const onEnd = (): void => fail(new Error(`the connection ended after ${received.length} bytes of an answer`));
    const timer = setTimeout(() => fail(new Error(`no answer within ${answerMs} ms`)), answerMs);
    const finish = (): void => {
      clearTimeout(timer);
      socket.off("data", onData).off("error", fail).off("close", onEnd);
    };
    socket.on("data", onData).on("error", fail).on("close", onEnd);
  });
}

/** null while the answer is not complete. */
export function parseAnswer(received: Buffer): { status: number; head: string; body: string } | null {
  const headEnd = received.indexOf("\r\n\r\n");
  if (headEnd === -1) return null;
  const head = received.toString("latin1", 0, headEnd);
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0);
  const rest = received.subarray(headEnd + 4);
  const length = /^content-length: *(\d+)/im.exec(head)?.[1];
  if (length !== undefined) {
    if (rest.length < Number(length)) return null;
    return { status, head, body: rest.toString("utf8", 0, Number(length)) };
  }
  if (!/^transfer-encoding: *chunked/im.test(head)) throw new Error(`an answer without a length: ${head}`);
  const body = parseChunks(rest);
  return body === null ? null : { status, head, body };
}

function parseChunks(bytes: Buffer): string | null {
  const parts: Buffer[] = [];
  for (let at = 0; ;) {
    const lineEnd = bytes.indexOf("\r\n", at);
    if (lineEnd === -1) return null;
    const size = Number.parseInt(bytes.toString("latin1", at, lineEnd), 16);
    const start = lineEnd + 2;
    if (bytes.length < start + size + 2) return null;
    if (size === 0) return Buffer.concat(parts).toString("utf8");
    parts.push(bytes.subarray(start, start + size));
    at = start + size + 2;
  }
}

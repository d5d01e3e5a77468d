/** A client that writes bytes, not requests: for what no proper HTTP library would send, and to see what came back. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";

/** Only ends a test that would hang. */
const boundMs = 60_000;

export class RawClient {
  readonly socket: Socket;
  /** Everything received so far, one character a byte. */
  text = "";
  isEnded = false;
  #wake: (() => void)[] = [];

  static async open(address: string): Promise<RawClient> {
    const { hostname, port } = new URL(address);
    const socket = connect({ host: hostname, port: Number(port) });
    await once(socket, "connect");
    return new RawClient(socket);
  }

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => {
      this.text += chunk.toString("latin1");
      this.#notify();
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.isEnded = true;
      this.#notify();
    });
  }

  send(text: string): void {
    this.socket.write(text, "latin1");
  }

  /** A whole request without a body. */
  get(path: string, app: string, headers = ""): void {
    this.send(`GET ${path} HTTP/1.1\r\nhost: localhost\r\naloft-app: ${app}\r\n${headers}\r\n`);
  }

  /** Waits until what was received matches. */
  async received(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.text);
      if (found !== null) return found;
      if (this.isEnded)
        throw new Error(`the connection ended before ${pattern} came: ${JSON.stringify(this.text.slice(0, 500))}`);
      await this.#next();
    }
  }

  /** Everything the server sent until it closed the connection. */
  async ended(): Promise<string> {
    while (!this.isEnded) await this.#next();
    return this.text;
  }

  close(): void {
    this.socket.destroy();
  }

  #next(): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`nothing came for ${boundMs / 1000} s after ${JSON.stringify(this.text.slice(-500))}`));
      }, boundMs);
      this.#wake.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #notify(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

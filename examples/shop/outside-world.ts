/**
 * What is outside of the shop: a payment provider and a mail service in one small HTTP server, both of which honour
 * idempotency keys, as their real kin do. `node examples/shop/outside-world.ts 9100` starts it for a shop to be tried with; tests have it
 * fail as well: before it did what it was asked, after it, or by not answering at all.
 *
 *   POST /charges    {reference, cents, card}   201; 402: the card "declined"; 409: the reference was reversed
 *   POST /reversals  {reference}                200; what was charged goes back, and nothing can be charged any more
 *   POST /messages   {to, order, kind}          202; 422 for an address that begins with "bounce"
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";

export interface Charge {
  readonly key: string;
  readonly reference: string;
  readonly cents: number;
}

export interface SentMail {
  readonly key: string;
  readonly to: string;
  readonly order: string;
  readonly kind: string;
}

/** `chance` is from 0 to below 1: of how many requests that share fails. */
export interface Faults {
  readonly share: number;
  readonly random: () => number;
}

type Fault = "refuses" | "breaks off" | "is silent";
const faults: readonly Fault[] = ["refuses", "breaks off", "is silent"];

/** Of this card nobody ever hears anything, though it is charged. */
export const silentCard = "silent";

export class OutsideWorld {
  /** Every time that money was taken. */
  readonly charges: Charge[] = [];
  readonly reversed = new Set<string>();
  /** By idempotency key: each was delivered, or refused for good, once. */
  readonly mails = new Map<string, SentMail>();
  /** How often it failed, so that a test can tell that it did. */
  faultCount = 0;
  readonly #answers = new Map<string, { readonly body: string; readonly status: number }>();
  readonly #faults: Faults;
  readonly #server: Server;

  private constructor(faults: Faults) {
    this.#faults = faults;
    this.#server = createServer((request, response) => {
      this.#serve(request, response).catch(() => response.destroy()); // a client that went away in the middle
    });
  }

  static async open(port = 0, faults: Faults = { share: 0, random: Math.random }): Promise<OutsideWorld> {
    const world = new OutsideWorld(faults);
    await once(world.#server.listen(port, "127.0.0.1"), "listening");
    return world;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = (await json(request)) as Readonly<Record<string, unknown>>;
    const key = `${request.url} ${String(request.headers["idempotency-key"])}`;
    const { share, random } = this.#faults;
    const fault = random() < share ? faults[Math.floor(random() * faults.length)] : undefined;
    const isBefore = random() < 0.5;
    if (fault !== undefined && isBefore) {
      this.#fail(response, fault);
      return;
    }
    const status = this.#answer(key, request.url ?? "", body);
    if (fault !== undefined) this.#fail(response, fault);
    else if (body["card"] === silentCard) this.#fail(response, "breaks off");
    else response.writeHead(status).end();
  }

  #fail(response: ServerResponse, fault: Fault): void {
    this.faultCount += 1;
    if (fault === "refuses") response.writeHead(503).end();
    if (fault === "breaks off") response.destroy();
  }

  /** The same key has the same answer, and nothing happens a second time. */
  #answer(key: string, path: string, body: Readonly<Record<string, unknown>>): number {
    const text = JSON.stringify(body);
    const before = this.#answers.get(key);
    if (before !== undefined) return before.body === text ? before.status : 422;
    const status = this.#act(key, path, body);
    this.#answers.set(key, { body: text, status });
    return status;
  }

  #act(key: string, path: string, body: Readonly<Record<string, unknown>>): number {
    const reference = String(body["reference"]);
    switch (path) {
      case "/charges": {
        if (this.reversed.has(reference)) return 409;
        if (body["card"] === "declined") return 402;
        this.charges.push({ key, reference, cents: Number(body["cents"]) });
        return 201;
      }
      case "/reversals": {
        this.reversed.add(reference);
        return 200;
      }
      case "/messages": {
        const [to, order, kind] = [String(body["to"]), String(body["order"]), String(body["kind"])];
        this.mails.set(key, { key, to, order, kind });
        return to.startsWith("bounce") ? 422 : 202;
      }
      default:
        return 404;
    }
  }
}

if (import.meta.main) {
  const { url } = await OutsideWorld.open(Number(process.argv[2] ?? 9100));
  console.log(`PAYMENTS_URL=${url}\nMAIL_URL=${url}`);
}

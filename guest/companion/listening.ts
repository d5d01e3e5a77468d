/** When a program is ready: it takes connections and, where a path says more, answers there with a status below 400. */
import { get } from "node:http";
import { type AddressInfo, connect, createServer } from "node:net";
import { type ProgramEnd, sentenceOf } from "./program.ts";

/** One of both. */
export type Address = { readonly host: string; readonly port: number } | { readonly socketPath: string };

export interface ReadyOptions {
  /** Where the program may listen; the first that takes a connection is the one. */
  readonly addresses: readonly Address[];
  /** null: connecting is enough. */
  readonly path: string | null;
  readonly withinMs: number;
  readonly ended: Promise<ProgramEnd>;
}

const lookMs = 2;
const slowLookMs = 50;
const answerMs = 5000;

/** A port of the loopback that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Throws an error in the user's words when the program ends before, or is not ready in time. */
export async function untilReady({ addresses, path, withinMs, ended }: ReadyOptions): Promise<Address> {
  const untilMs = performance.now() + withinMs;
  let end: ProgramEnd | null = null;
  void ended.then((how) => (end = how));
  let found: Address | null = null;
  let said = "";
  let waitMs = lookMs;
  for (;;) {
    if (end !== null) throw new Error(sentenceOf(end, "before it was ready"));
    found ??= await firstOpen(addresses);
    if (found !== null) {
      if (path === null) return found;
      const answer = await statusOf(found, path);
      if (typeof answer === "number" && answer < 400) return found;
      said =
        typeof answer === "number"
          ? `answered ${path} with the status ${answer}`
          : `gave no answer to ${path}: ${answer}`;
    }
    if (performance.now() >= untilMs)
      throw new Error(`the program ${said || notListening(addresses)} for ${withinMs / 1000} s`);
    await Promise.race([new Promise((resolve) => setTimeout(resolve, waitMs)), ended]);
    waitMs = Math.min(waitMs * 1.5, slowLookMs);
  }
}

function notListening(addresses: readonly Address[]): string {
  const places = addresses.map((one) =>
    "port" in one ? `port ${one.port} (PORT)` : `${one.socketPath} (ALOFT_SOCKET)`,
  );
  return `listened neither on ${places.join(" nor on ")}`;
}

async function firstOpen(addresses: readonly Address[]): Promise<Address | null> {
  const open = await Promise.all(addresses.map(isOpen));
  return addresses.find((_address, at) => open[at]) ?? null;
}

function isOpen(address: Address): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect("port" in address ? address : { path: address.socketPath });
    const settle = (is: boolean): void => {
      socket.destroy();
      resolve(is);
    };
    socket.once("connect", () => settle(true));
    socket.once("error", () => settle(false));
  });
}

/** The status, or what went wrong. */
function statusOf(address: Address, path: string): Promise<number | string> {
  return new Promise((resolve) => {
    const request = get({ ...address, path, timeout: answerMs, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    request.once("timeout", () => request.destroy(new Error(`nothing came for ${answerMs / 1000} s`)));
    request.once("error", (error) => resolve(error.message));
  });
}

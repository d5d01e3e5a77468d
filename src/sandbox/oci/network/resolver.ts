/**
 * The resolver of all instances of a server. It passes questions on to the host's own resolvers, so names mean inside what
 * they mean outside, and keeps no answers. An instance that may reach some hosts only gets no other names; the addresses of
 * an answer are open to it before it has the answer.
 *
 * Instances have no IPv6, so questions for such addresses are answered with none, and so are those for HTTPS records, which
 * hold addresses as hints.
 */
import { createSocket, type RemoteInfo, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, isIPv6, type Socket } from "node:net";
import { parseAddress } from "../../../lib/ipv4.ts";
import {
  answersTo,
  type DnsQuestion,
  emptyAnswer,
  type FoundAddress,
  readAddresses,
  readQuestion,
  RecordType,
  ResponseCode,
} from "./dns-message.ts";
import type { Upstream } from "./upstreams.ts";

/** What may be asked for. */
export interface NameRules {
  allows(name: string): boolean;
  /** Resolves when these addresses of the name can be reached. */
  open(name: string, addresses: readonly FoundAddress[]): Promise<void>;
}

/** Of one instance. */
export interface NameAccess extends NameRules {
  /** It has asked for a name that is not allowed. */
  refused(name: string): void;
}

export interface ResolverOptions {
  /** Where it listens; both ports are free ones. */
  readonly address: string;
  readonly upstreams: () => readonly Upstream[];
  /** By the number of an instance's address; null: it gets no answer at all. */
  readonly accessOf: (address: number) => NameAccess | null;
}

export interface Resolver {
  readonly udpPort: number;
  readonly tcpPort: number;
  close(): Promise<void>;
}

/** Then the next resolver of the host is asked. */
const answerMs = 3000;
/** Of all instances; further questions are dropped, and asked again by who asked. */
const openQuestionsMax = 2048;
const openQuestionsPerInstance = 128;
const connectionsMax = 256;
const connectionIdleMs = 10_000;
const frameBytesMax = 65_535;

/** Throws what listening throws. */
export async function openResolver(options: ResolverOptions): Promise<Resolver> {
  const open = new Map<number, number>();
  let openCount = 0;

  /** null: no answer. */
  async function answer(from: string, query: Buffer, ask: AskUpstream): Promise<Buffer | null> {
    const address = parseAddress(from) ?? -1;
    const access = options.accessOf(address);
    const question = access === null ? null : readQuestion(query);
    if (access === null || question === null) return null;
    if (!access.allows(question.name)) {
      access.refused(question.name);
      return emptyAnswer(query, question, ResponseCode.nameError);
    }
    if (isLeftOut(question.type)) return emptyAnswer(query, question, ResponseCode.none);
    const own = open.get(address) ?? 0;
    if (openCount >= openQuestionsMax || own >= openQuestionsPerInstance) return null;
    openCount += 1;
    open.set(address, own + 1);
    try {
      const found = await askInTurn(options.upstreams(), question, query, ask);
      await access.open(question.name, readAddresses(question, found));
      return found;
    } catch {
      return emptyAnswer(query, question, ResponseCode.serverFailure);
    } finally {
      openCount -= 1;
      const left = (open.get(address) ?? 1) - 1;
      if (left === 0) open.delete(address);
      else open.set(address, left);
    }
  }

  const udp = createSocket("udp4");
  udp.on("message", (query, from) => void answer(from.address, query, askByUdp).then((text) => send(udp, text, from)));
  udp.on("error", () => {});
  udp.bind(0, options.address);
  const connections = new Set<Socket>();
  const tcp = createServer((socket) => {
    connections.add(socket);
    socket.once("close", () => connections.delete(socket));
    serveConnection(socket, answer);
  });
  tcp.maxConnections = connectionsMax;
  tcp.listen(0, options.address);
  await Promise.all([once(udp, "listening"), once(tcp, "listening")]);
  return {
    udpPort: udp.address().port,
    tcpPort: (tcp.address() as AddressInfo).port,
    async close() {
      udp.close();
      tcp.close();
      for (const socket of connections) socket.destroy();
      await once(tcp, "close");
    },
  };
}

function isLeftOut(type: number): boolean {
  return type === RecordType.aaaa || type === RecordType.https || type === RecordType.svcb;
}

function send(udp: UdpSocket, text: Buffer | null, to: RemoteInfo): void {
  if (text === null) return;
  try {
    udp.send(text, to.port, to.address, () => {});
  } catch {
    // It was closed meanwhile.
  }
}

type AskUpstream = (upstream: Upstream, question: DnsQuestion, query: Buffer) => Promise<Buffer>;

async function askInTurn(
  upstreams: readonly Upstream[],
  question: DnsQuestion,
  query: Buffer,
  ask: AskUpstream,
): Promise<Buffer> {
  let failure: unknown = new Error("this host has no resolver");
  for (const upstream of upstreams) {
    try {
      return await ask(upstream, question, query);
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

/** From a port of its own, so that an answer can only be forged by guessing it. */
async function askByUdp({ address, port }: Upstream, question: DnsQuestion, query: Buffer): Promise<Buffer> {
  const socket = createSocket(isIPv6(address.replace(/%.*$/, "")) ? "udp6" : "udp4");
  try {
    return await new Promise<Buffer>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${address} did not answer`)), answerMs);
      socket.once("close", () => clearTimeout(timer));
      socket.on("error", reject);
      socket.on("message", (answer) => {
        if (answersTo(question, query, answer)) resolve(answer);
      });
      socket.connect(port, address, () => socket.send(query));
    });
  } finally {
    socket.close();
  }
}

async function askByTcp({ address, port }: Upstream, question: DnsQuestion, query: Buffer): Promise<Buffer> {
  const socket = connect({ host: address, port, timeout: answerMs });
  try {
    return await new Promise<Buffer>((resolve, reject) => {
      socket.once("timeout", () => reject(new Error(`${address} did not answer`)));
      socket.once("error", reject);
      socket.once("close", () => reject(new Error(`${address} closed the connection`)));
      readFrames(socket, (answer) => {
        if (answersTo(question, query, answer)) resolve(answer);
      });
      socket.write(frameOf(query));
    });
  } finally {
    socket.destroy();
  }
}

function serveConnection(
  socket: Socket,
  answer: (from: string, query: Buffer, ask: AskUpstream) => Promise<Buffer | null>,
): void {
  socket.setTimeout(connectionIdleMs, () => socket.destroy());
  socket.on("error", () => socket.destroy());
  readFrames(socket, (query) => {
    void answer(socket.remoteAddress ?? "", query, askByTcp).then((text) => {
      if (text === null) socket.destroy();
      else if (socket.writable) socket.write(frameOf(text));
    });
  });
}

/** Messages on a connection have their length in front (RFC 1035, section 4.2.2). */
function readFrames(socket: Socket, onMessage: (message: Buffer) => void): void {
  let held = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    held = Buffer.concat([held, chunk]);
    while (held.length >= 2 && held.length >= 2 + held.readUInt16BE(0)) {
      const end = 2 + held.readUInt16BE(0);
      onMessage(held.subarray(2, end));
      held = held.subarray(end);
    }
    if (held.length > 2 + frameBytesMax) socket.destroy();
  });
}

function frameOf(message: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  return Buffer.concat([length, message]);
}

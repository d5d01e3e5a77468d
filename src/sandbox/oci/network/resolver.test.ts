import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { Resolver as Asker } from "node:dns/promises";
import { once } from "node:events";
import { test, type TestContext } from "node:test";
import { parseAddress } from "../../../lib/ipv4.ts";
import type { FoundAddress } from "./dns-message.ts";
import { type NameAccess, openResolver } from "./resolver.ts";
import type { Upstream } from "./upstreams.ts";

/** Answers every question with this address, or does not answer. Counts what it was asked. */
async function upstream(t: TestContext, address: readonly number[] | null): Promise<Upstream & { asked: number }> {
  const socket = createSocket("udp4");
  const own = { address: "127.0.0.1", port: 0, asked: 0 };
  socket.on("message", (query, from) => {
    own.asked += 1;
    if (address === null) return;
    // What follows the question (EDNS) is left out.
    const end = query.indexOf(0, 12) + 5;
    const answer = Buffer.concat([
      query.subarray(0, end),
      Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, ...address]),
    ]);
    answer.writeUInt16BE(0x8180, 2);
    answer.writeUInt16BE(1, 6);
    answer.writeUInt32BE(0, 8);
    const forged = Buffer.from(answer);
    forged.writeUInt16BE((query.readUInt16BE(0) + 1) & 0xffff, 0);
    forged[forged.length - 1] = 99;
    socket.send(forged, from.port, from.address);
    socket.send(answer, from.port, from.address);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  own.port = socket.address().port;
  t.after(() => void socket.close());
  return own;
}

interface Opened {
  readonly name: string;
  readonly addresses: readonly FoundAddress[];
}

async function open(t: TestContext, upstreams: readonly Upstream[], access: (opened: Opened[]) => NameAccess | null) {
  const opened: Opened[] = [];
  const asked = access(opened);
  const resolver = await openResolver({
    address: "127.0.0.1",
    upstreams: () => upstreams,
    accessOf: (address) => (address === parseAddress("127.0.0.1") ? asked : null),
  });
  t.after(() => resolver.close());
  const asker = new Asker({ timeout: 10_000, tries: 1 });
  asker.setServers([`127.0.0.1:${resolver.udpPort}`]);
  t.after(() => asker.cancel());
  return { asker, opened };
}

function only(allowed: string, refused: (name: string) => void = () => {}): (opened: Opened[]) => NameAccess {
  return (opened) => ({
    refused,
    allows: (name) => name === allowed,
    open: async (name, addresses) => void opened.push({ name, addresses }),
  });
}

test("a name that is allowed is asked of the host's resolver, and opened before the answer is there", async (t) => {
  const { asker, opened } = await open(t, [await upstream(t, [203, 0, 113, 5])], only("a.example"));
  assert.deepEqual(await asker.resolve4("A.example"), ["203.0.113.5"]);
  assert.deepEqual(opened, [{ name: "a.example", addresses: [{ address: 0xcb00_7105, ttlMs: 5000 }] }]);
});

test("a name that is not allowed does not exist, nobody is asked for it, and whoever looks after it hears", async (t) => {
  const asked = await upstream(t, [203, 0, 113, 5]);
  const refused: string[] = [];
  const { asker } = await open(
    t,
    [asked],
    only("a.example", (name) => refused.push(name)),
  );
  await assert.rejects(asker.resolve4("b.example"), { code: "ENOTFOUND" });
  assert.equal(asked.asked, 0);
  assert.deepEqual(refused, ["b.example"]);
});

test("there are no IPv6 addresses, and nobody is asked for them", async (t) => {
  const asked = await upstream(t, [203, 0, 113, 5]);
  const { asker } = await open(t, [asked], only("a.example"));
  await assert.rejects(asker.resolve6("a.example"), { code: "ENODATA" });
  assert.equal(asked.asked, 0);
});

test("when one resolver of the host cannot be reached the next one is asked", async (t) => {
  const closed = { address: "127.0.0.1", port: 1 };
  const { asker } = await open(t, [closed, await upstream(t, [203, 0, 113, 6])], only("a.example"));
  assert.deepEqual(await asker.resolve4("a.example"), ["203.0.113.6"]);
});

test("without a resolver that answers, or when an address cannot be opened, the answer is a failure", async (t) => {
  const { asker } = await open(t, [{ address: "127.0.0.1", port: 1 }], only("a.example"));
  await assert.rejects(asker.resolve4("a.example"), { code: "ESERVFAIL" });
  const failing = await open(t, [await upstream(t, [203, 0, 113, 5])], () => ({
    refused: () => {},
    allows: () => true,
    open: () => Promise.reject(new Error("no")),
  }));
  await assert.rejects(failing.asker.resolve4("a.example"), { code: "ESERVFAIL" });
});

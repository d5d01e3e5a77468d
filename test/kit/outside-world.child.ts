/** What answers in the outside of `network-world.ts`: web servers on every address there, and a resolver with these names. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { createServer } from "node:net";
import { outside } from "./network-world.ts";

const zone: Readonly<Record<string, readonly string[]>> = {
  "web.example.test": [outside.web],
  "api.example.test": [outside.api],
  "v1.api.example.test": [outside.api],
  "both.example.test": [outside.private[0], outside.web],
  "private.example.test": [outside.private[0]],
  "metadata.example.test": [outside.forbidden[0]],
  // Too long for one packet.
  "many.example.test": Array.from({ length: 60 }, () => outside.web),
};
const packetBytes = 512;

function answerTo(query: Buffer, mayBeLong: boolean): Buffer {
  let end = 12;
  const labels: string[] = [];
  for (let length = query[end] ?? 0; length > 0; length = query[end] ?? 0) {
    labels.push(query.toString("latin1", end + 1, end + 1 + length));
    end += 1 + length;
  }
  end += 5;
  const isForAddresses = query.readUInt16BE(end - 4) === 1;
  const found = zone[labels.join(".").toLowerCase()];
  const records = (isForAddresses ? (found ?? []) : []).map((address) => {
    const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 0, 0, 0, 0]);
    address.split(".").forEach((part, index) => (record[12 + index] = Number(part)));
    return record;
  });
  const head = Buffer.from(query.subarray(0, end));
  const whole = Buffer.concat([head, ...records]);
  const isCut = !mayBeLong && whole.length > packetBytes;
  whole.writeUInt16BE(0x8180 | (found === undefined ? 3 : 0) | (isCut ? 0x0200 : 0), 2);
  whole.writeUInt16BE(isCut ? 0 : records.length, 6);
  whole.writeUInt32BE(0, 8);
  return isCut ? whole.subarray(0, end) : whole;
}

const servers = [80, 81].map((port) =>
  createHttpServer((request, response) => {
    response.end(JSON.stringify({ at: request.socket.localAddress, from: request.socket.remoteAddress }));
  }).listen(port, "::"),
);
const udp = createSocket("udp4", (query, from) => udp.send(answerTo(query, false), from.port, from.address));
udp.bind(53, outside.resolver);
const tcp = createServer((socket) => {
  socket.on("error", () => {});
  socket.once("data", (frame: Buffer) => {
    const answer = answerTo(frame.subarray(2), true);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(answer.length);
    socket.write(Buffer.concat([length, answer]));
  });
}).listen(53, outside.resolver);
await Promise.all([...servers, udp, tcp].map((one) => once(one, "listening")));
process.stdout.write("up\n");

/**
 * Made-up invocations, run before the first real one through everything that it will pass: code that has run once is
 * compiled, and the first request does not wait for that.
 */
import { Flag, FrameType, InvokeKind } from "../../src/wire/frames.ts";
import { writeInvoke } from "../../src/wire/messages.ts";
import { FrameWriter } from "../../src/wire/writer.ts";
import type { LoadedFunction } from "./loaded-function.ts";

const rounds = 4;

/** The frames of the rehearsal, as the node would send them. */
export function rehearsalFrames(): Buffer {
  const parts: Buffer[] = [];
  const script = new FrameWriter((bytes, sent) => {
    parts.push(Buffer.from(bytes));
    sent();
  });
  const body = Buffer.from("{}");
  for (let round = 1; round <= rounds; round += 1) {
    writeInvoke(script, round * 2 - 1, Flag.end, InvokeKind.http, 0, 1000, textOf("GET"), null);
    writeInvoke(script, round * 2, Flag.end, InvokeKind.http, 0, 1000, textOf("POST"), body);
  }
  writeInvoke(script, rounds * 2 + 1, Flag.end, InvokeKind.call, 0, 1000, textOf("POST"), body);
  script.u32(FrameType.ping, 0, 1);
  script.flush();
  return Buffer.concat(parts);
}

function textOf(method: string): string {
  return ["id", "trace", "1", method, "http://localhost", "/", "127.0.0.1", "", "content-type", "text/plain"].join(
    "\n",
  );
}

export const rehearsalFunction: LoadedFunction = {
  name: "rehearsal",
  style: "fetch",
  triggers: [],
  limits: {},
  async fetch(request) {
    const url = new URL(request.url);
    if (request.method === "GET") return new Response(url.pathname, { headers: { "content-type": "text/plain" } });
    const type = request.headers.get("content-type");
    return Response.json({ body: await request.json(), type });
  },
  call: (input) => input,
};

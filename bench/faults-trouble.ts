/** An app that misbehaves in every way that its path names, and a loop that makes it do so. */
import type { AloftServer } from "./aloft/server.ts";

export const faults = ["blocks", "throws", "exits", "prints", "eats memory", "streams 256 MB"] as const;
export type Fault = (typeof faults)[number];

const paths: Readonly<Record<Fault, string>> = {
  blocks: "/block",
  throws: "/throw",
  exits: "/exit",
  prints: "/print",
  "eats memory": "/memory",
  "streams 256 MB": "/stream",
};

/** Blocking and printing last two seconds a request, so that they end by themselves. */
export const nuisanceSource = `const untilLater = () => { const end = Date.now() + 2000; return () => Date.now() < end; };
export default {
  async fetch(request) {
    const path = new URL(request.url).pathname;
    const goingOn = untilLater();
    if (path === "/block") while (goingOn());
    if (path === "/throw") throw new Error("a nuisance");
    if (path === "/exit") process.exit(1);
    if (path === "/print") {
      while (goingOn()) {
        console.log("x".repeat(1000));
        await new Promise(setImmediate);
      }
    }
    if (path === "/memory") {
      const eaten = [];
      for (;;) eaten.push(new Array(1e6).fill(eaten.length));
    }
    if (path === "/stream") {
      const part = new Uint8Array(65536);
      let left = 4096;
      return new Response(new ReadableStream({ pull(to) { if (left-- > 0) to.enqueue(part); else to.close(); } }));
    }
    return new Response("done");
  },
};
`;

const requestMs = 15_000;
/** A fault that is answered at once must not become a load of its own. */
const pauseMs = 20;

/** Asks again and again until stopped; then resolves to the number of requests. How they end is not looked at. */
export function startTrouble(server: AloftServer, fault: Fault): { stop(): Promise<number> } {
  const stopping = new AbortController();
  const done = (async () => {
    let requests = 0;
    while (!stopping.signal.aborted) {
      requests += 1;
      await ask(server.url + paths[fault]).catch(() => null);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    return requests;
  })();
  return {
    stop(): Promise<number> {
      stopping.abort();
      return done;
    },
  };
}

async function ask(url: string): Promise<void> {
  const signal = AbortSignal.timeout(requestMs);
  const response = await fetch(url, { headers: { "aloft-app": "nuisance" }, signal });
  for await (const _chunk of response.body ?? []);
}

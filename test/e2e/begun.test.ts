/**
 * A request whose handler may have acted is never run twice, whenever its instance dies; one whose handler certainly was
 * never called is answered by another instance as if nothing had happened.
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { startTestServer, temporaryFolder } from "../kit/server.ts";
import { until } from "../kit/until.ts";

const server = await startTestServer({ after }, { settings: { zygotes: 4 } });

const clients = 24;
const requestsEach = 40;
/** One kill for so many answers. */
const answersPerKill = 40;

test("under load, with instances killed at any moment, no request is run twice", async (t) => {
  const folder = await temporaryFolder(t, { journal: "" });
  const journal = join(folder, "journal");
  // Appends are one write each, so that lines of many processes never mix.
  await server.deployFiles("acts", {
    "index.ts": `import { appendFileSync } from "node:fs";
      import { http } from "aloft";
      export const act = http("POST /act/:number", { concurrency: 8, maxInstances: 4 }, async (request, { params }) => {
        appendFileSync(${JSON.stringify(journal)}, "begin " + params.number + "\\n");
        await request.text();
        await new Promise((resolve) => setTimeout(resolve, Number(params.number) % 7));
        appendFileSync(${JSON.stringify(journal)}, "end " + params.number + "\\n");
        return Response.json(process.pid);
      });`,
  });
  const outcomes = new Map<number, { readonly status: number; readonly text: string }>();
  const pids = new Set<number>();
  let kills = 0;

  function killOne(): void {
    const [pid] = pids;
    if (pid === undefined) return;
    pids.delete(pid);
    try {
      process.kill(pid, "SIGKILL");
      kills += 1;
    } catch {
      // It has ended already.
    }
  }

  async function client(first: number): Promise<void> {
    for (let number = first; number < first + requestsEach; number += 1) {
      const response = await server.fetch("acts", `/act/${number}`, { method: "POST", body: String(number) });
      const text = await response.text();
      outcomes.set(number, { status: response.status, text });
      if (response.status === 200) pids.add(Number(text));
      if (outcomes.size % answersPerKill === 0) killOne();
    }
  }

  await Promise.all(Array.from({ length: clients }, (_, index) => client(index * requestsEach)));

  const lines = (await readFile(journal, "utf8")).trim().split("\n");
  const begun = lines.filter((line) => line.startsWith("begin ")).map((line) => Number(line.slice(6)));
  const ended = new Set(lines.filter((line) => line.startsWith("end ")).map((line) => Number(line.slice(4))));
  assert.equal(outcomes.size, clients * requestsEach);
  assert.ok(kills >= 10, `${kills} kills`);
  assert.equal(new Set(begun).size, begun.length, "a request was run twice");
  const begunOnce = new Set(begun);
  const failures = new Map<string, number>();
  for (const [number, { status, text }] of outcomes) {
    if (status === 200) {
      assert.ok(begunOnce.has(number) && ended.has(number), `request ${number} was answered and never run`);
      continue;
    }
    const code = (JSON.parse(text) as { code: string }).code;
    failures.set(code, (failures.get(code) ?? 0) + 1);
    // Named in a begun frame means that it may have acted, not that it has; but an answer for one that waited is none of
    // these.
    assert.ok(["FUNCTION_CRASHED", "FUNCTION_CRASH_LOOP"].includes(code), text);
  }
  t.diagnostic(`${kills} kills, ${begun.length} runs, failures ${JSON.stringify(Object.fromEntries(failures))}`);
});

test("requests that wait unread in a blocked instance are answered by another one when it dies", async (t) => {
  const folder = await temporaryFolder(t, { journal: "" });
  const journal = join(folder, "journal");
  await server.deployFiles("blocked", {
    "index.ts": `import { appendFileSync } from "node:fs";
      import { http } from "aloft";
      export const work = http("/:kind", { maxInstances: 1, timeout: "1m" }, (request, { params }) => {
        appendFileSync(${JSON.stringify(journal)}, params.kind + " " + process.pid + "\\n");
        if (params.kind === "block") for (;;);
        return Response.json(process.pid);
      });`,
  });
  const load = async () => {
    const group = (await server.client.status()).groups.find((one) => one.app === "blocked");
    return group === undefined ? [0, 0] : [group.inFlight, group.waiting];
  };
  const blocking = server.fetch("blocked", "/block");
  const pid = await until("that the handler blocks", async () => {
    const found = /^block (\d+)$/m.exec(await readFile(journal, "utf8"));
    return found === null ? null : Number(found[1]);
  });
  const others = Array.from({ length: 5 }, () => server.fetch("blocked", "/other"));
  const [inFlight = 0] = await until("that all have been submitted", async () => {
    const now = await load();
    return (now[0] ?? 0) + (now[1] ?? 0) === 6 ? now : null;
  });
  t.diagnostic(`${inFlight - 1} of 5 had been handed to the blocked instance`);
  process.kill(pid, "SIGKILL");

  assert.equal((await blocking).status, 502);
  for (const response of await Promise.all(others)) {
    assert.equal(response.status, 200, await response.clone().text());
    assert.notEqual(await response.json(), pid);
  }
  const lines = (await readFile(journal, "utf8")).trim().split("\n");
  assert.equal(lines.filter((line) => line.startsWith("other ")).length, 5);
  assert.equal(lines.filter((line) => line.startsWith("block ")).length, 1);
});

import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { StreamJson } from "../../src/contract/triggering.ts";
import { startTestServer } from "../../test/kit/server.ts";
import { type Hit, parseLine } from "./access-log.ts";
import { addHit, noHits, type Sums, summaryOf } from "./summary.ts";

const server = await startTestServer({ after });
const lineCount = process.env["ALOFT_SOAK"] === undefined ? 10_000 : 1_000_000;
const linesPerPost = 5000;
const routes = ["/", "/shop", "/api", "/search", "/pay"];
const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** Some lines come up to 20 seconds late; every minute, one route fails more than others. */
function* log(count: number): Generator<string> {
  let state = 12_345;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const begin = Date.UTC(2026, 2, 29, 0, 58);
  for (let line = 0; line < count; line++) {
    const at = new Date(begin + line * 20 - random(20_000));
    const iso = at.toISOString();
    const time = `${iso.slice(8, 10)}/${months[at.getUTCMonth()]}/${iso.slice(0, 4)}:${iso.slice(11, 19)} +0000`;
    const index = random(routes.length);
    const status = random(index === 4 ? 3 : 50) === 0 ? 503 : 200;
    const ms = random(10) === 0 ? random(20_000) : random(200);
    yield `10.0.0.${random(250)} - - [${time}] "GET ${routes[index]}${index === 0 ? "" : `/${line}`} HTTP/1.1" ${status} ${random(9000)} "-" "test" ${ms}`;
  }
}

test("lines are parsed, and what is no line is refused", () => {
  const line = '10.0.0.1 - ada [29/Mar/2026:02:30:00 +0200] "GET /shop/7?x=1 HTTP/1.1" 200 512 "-" "curl" 42';
  const hit: Hit = { at: Date.UTC(2026, 2, 29, 0, 30), route: "/shop", status: 200, bytes: 512, ms: 42 };
  assert.deepEqual(parseLine(line), hit);
  for (const bad of ["", "GET /", line.replace("Mar", "Mai"), line.slice(0, -3)])
    assert.equal(parseLine(bad), null, bad);
});

test("the minutes are those of one pass over the log, and the alerts follow from them", async () => {
  await server.deploy(import.meta.dirname);
  const sums = new Map<string, Sums>();
  let posted: string[] = [];
  const post = async (): Promise<void> => {
    const body = posted.join("\n");
    const answer = await server.fetch("log-analytics", "/logs", { method: "POST", body });
    assert.deepEqual(await answer.json(), { accepted: posted.length, refused: 0 });
    posted = [];
  };
  for (const line of log(lineCount)) {
    posted.push(line);
    const hit = parseLine(line) ?? assert.fail(line);
    const key = `${new Date(hit.at).toISOString().slice(0, 16)} ${hit.route}`;
    sums.set(key, addHit(sums.get(key) ?? noHits, hit));
    if (posted.length === linesPerPost) await post();
  }
  if (posted.length > 0) await post();

  const expected = Object.fromEntries([...sums].map(([key, sum]) => [key, summaryOf(sum)]));
  const alerts = Object.entries(expected).filter(([, { hits, errors }]) => hits >= 20 && errors / hits > 0.2);
  assert.ok(alerts.length > 0);
  const path = "/v1/apps/log-analytics/streams/hits";
  await waitFor("every line is handled", async () => {
    const { consumers } = await server.client.ask<StreamJson>("GET", path, {});
    return consumers[0]?.done === lineCount;
  });
  await waitFor("every window has ended", async () => {
    const { consumers } = await server.client.ask<StreamJson>("GET", path, {});
    return consumers[0]?.windows === sums.size;
  });
  const get = async (what: string): Promise<object> =>
    (await (await server.fetch("log-analytics", what)).json()) as object;
  assert.deepEqual(await get("/minutes"), expected);
  await waitFor("every alert", async () => Object.keys(await get("/alerts")).length === alerts.length);
  assert.deepEqual(Object.keys(await get("/alerts")).toSorted(), alerts.map(([key]) => key).toSorted());
});

/** As long as it takes: the runner's own bound ends a test that hangs. */
async function waitFor(_what: string, attempt: () => Promise<boolean>): Promise<void> {
  while (!(await attempt())) await new Promise((resolve) => setTimeout(resolve, 50));
}

import assert from "node:assert/strict";
import { test } from "node:test";
import { startTestServer } from "../kit/server.ts";

const code = `
  import { callState, cancelCall, fn, http, kv } from "aloft";
  const done = kv<number>("done");
  export const work = fn(async ({ n }: { n: number }, { attempt, idempotencyKey }) => {
    await done.set(String(n), n);
    if (n < 0) throw new RangeError("below zero");
    return { twice: n * 2, attempt, idempotencyKey };
  });
  export const begin = http("POST /begin", async (request) => Response.json(await work.later(await request.json(), { retry: "none" })));
  export const look = http("GET /calls/:id", async (_request, { params }) => Response.json(await callState(params.id)));
  export const stop = http("DELETE /calls/:id", async (_request, { params }) => Response.json(await cancelCall(params.id)));
  export const stored = http("GET /done/:n", async (_request, { params }) => Response.json(await done.get(params.n)));
`;

test("a call that code makes later is made, and what has become of it can be waited for", async (t) => {
  const server = await startTestServer(t);
  await server.deployFiles("later", { "index.ts": code });
  const begun = await server.fetch("later", "/begin", { method: "POST", body: '{"n":21}' });
  const { id } = (await begun.json()) as { id: string };
  const call = await server.client.getCall("later", "production", id, 60_000);
  assert.deepEqual([call.status, call.result], ["succeeded", { twice: 42, attempt: 1, idempotencyKey: id }]);
  assert.deepEqual(await (await server.fetch("later", "/done/21")).json(), 21);
  const seen = (await (await server.fetch("later", `/calls/${id}`)).json()) as { status: string };
  assert.equal(seen.status, "succeeded");

  const failing = await server.fetch("later", "/begin", { method: "POST", body: '{"n":-1}' });
  const failed = await server.client.getCall(
    "later",
    "production",
    ((await failing.json()) as { id: string }).id,
    60_000,
  );
  assert.deepEqual([failed.status, failed.error?.type, failed.error?.message], ["failed", "RangeError", "below zero"]);
  // What a failed handler wrote is not there.
  assert.equal(await (await server.fetch("later", "/done/-1")).json(), null);

  const input = Buffer.from('{"n":1}');
  const late = await server.client.startCall("later", "work", "production", input, {
    delay: "1h",
    idempotencyKey: "k",
  });
  const again = await server.client.startCall("later", "work", "production", input, {
    delay: "1h",
    idempotencyKey: "k",
  });
  assert.deepEqual(again, { id: late.id, duplicate: true });
  assert.equal(await (await server.fetch("later", `/calls/${late.id}`, { method: "DELETE" })).json(), true);
  const calls = await server.client.listCalls("later", "production", {});
  assert.deepEqual(
    calls.map(({ status }) => status),
    ["cancelled", "failed", "succeeded"],
  );
  await assert.rejects(server.client.startCall("later", "nothing", "production", input, {}), {
    code: "FUNCTION_NOT_FOUND",
  });
  await assert.rejects(server.client.startCall("later", "work", "production", Buffer.from("{"), {}), {
    code: "REQUEST_INVALID",
  });
  await assert.rejects(server.client.getCall("later", "production", "none"), { code: "CALL_NOT_FOUND" });
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { startTestServer } from "../kit/server.ts";

test("a function may call another one a thousand times at once; each gets its own answer", async (t) => {
  const server = await startTestServer(t);
  await server.deployFiles("many", {
    "index.ts": `
      import { fn, http } from "aloft";
      export const square = fn((n: number) => n * n);
      export const sum = http("GET /", async () => {
        const squares = await Promise.all(Array.from({ length: 1000 }, (_, n) => square(n)));
        return Response.json({ right: squares.every((one, n) => one === n * n) });
      });`,
  });
  const response = await server.fetch("many", "/");
  assert.deepEqual([response.status, await response.json()], [200, { right: true }]);
});

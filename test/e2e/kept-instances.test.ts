import assert from "node:assert/strict";
import { test } from "node:test";
import { loadSettings } from "../../src/config.ts";
import type { StatusJson } from "../../src/contract/api.ts";
import { startServer } from "../../src/server.ts";
import { startTestServer, testToken } from "../kit/server.ts";
import { until } from "../kit/until.ts";

test("instances kept at the least run after a restart, before any request", async (t) => {
  const first = await startTestServer(t);
  const code = `export default { fetch: () => new Response(String(process.pid)) };`;
  await first.deployFiles("kept", { "aloft.json": `{ "defaults": { "minInstances": 2 } }`, "index.ts": code });
  await first.deployFiles("sleeps", { "index.ts": code });
  await first.close();

  const ports = { port: 0, adminPort: 0, adminToken: testToken, sandbox: "process", zygotes: 1 } as const;
  const settings = { ...(await loadSettings({ env: {} })), dataDir: first.dataDir, ...ports };
  const server = await startServer(settings, { mode: "dev" });
  t.after(() => server.close());
  const groups = await until("two instances are ready", async () => {
    const headers = { authorization: `Bearer ${testToken}` };
    const status = (await (await fetch(`${server.admin}/v1/status`, { headers })).json()) as StatusJson;
    return status.groups.some((group) => group.ready === 2) && status.groups;
  });
  assert.deepEqual(
    groups.map(({ app, ready }) => [app, ready]),
    [["kept", 2]],
  );
});

/** Custom runtimes in containers: the same programs as beside it, behind the wall. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { ociMissing } from "../../src/sandbox/open-for-test.fixture.ts";
import { lastFirst } from "../kit/scope.ts";
import { startTestServer } from "../kit/server.ts";
import { until } from "../kit/until.ts";
import { deployProgram } from "./deploy.ts";

const missing = await ociMissing();
if (missing !== null) console.log(`skipped: ${missing}`);

suite("custom runtimes in containers", { skip: missing ?? false }, () => {
  test("a bootstrap in shell and its extension serve, fail and serve again", async (t) => {
    const scope = lastFirst(t);
    const settings = { sandbox: "oci", sandboxNetwork: "none" } as const;
    const server = await startTestServer(scope, { mode: "serve", settings });
    await deployProgram(server, scope, "shell", {
      bootstrap: { program: "bootstrap.sh" },
      "extensions/watch.sh": { program: "watch.sh" },
      "aloft.json": `{ "functions": { "default": { "maxInstances": 1, "memoryMiB": 128 } } }`,
    });
    const invoke = async (payload: unknown): Promise<{ event: unknown; pid: number }> => {
      const json = Buffer.from(JSON.stringify(payload));
      const { body } = await server.client.invoke("shell", "default", "production", json);
      return JSON.parse(body.toString()) as { event: unknown; pid: number };
    };
    const first = await invoke({ a: 1 });
    assert.deepEqual(first.event, { a: 1 });
    await assert.rejects(invoke("exit"), { code: "FUNCTION_CRASHED", message: /Runtime\.ExitError/ });
    assert.notEqual((await invoke({})).pid, first.pid);
    await until("what the extension saw", async () =>
      (await server.client.listLogs("shell", {})).some(({ message }) => message.includes('"failure"')),
    );
    await assert.rejects(invoke("eat"), { code: "FUNCTION_OUT_OF_MEMORY" });
    // The loopback is its own: no other instance can be asked through it.
    const response = await server.fetch("shell", "/x");
    assert.equal(response.status, 200);
  });
});

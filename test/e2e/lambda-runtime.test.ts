/** Programs that speak the Lambda Runtime API: what runs on AWS as a custom runtime runs here unchanged. */
import assert from "node:assert/strict";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { after, suite, test } from "node:test";
import type { DeployedJson } from "../../src/contract/api.ts";
import { startTestServer, temporaryFolder } from "../kit/server.ts";
import { until } from "../kit/until.ts";

const scope = { after };
const server = await startTestServer(scope, { mode: "serve" });

/** Deploys a folder; files whose content begins with `#!` are executable. */
async function deploy(app: string, files: Readonly<Record<string, string>>): Promise<DeployedJson> {
  const folder = await temporaryFolder(scope);
  const dir = join(folder, app);
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(dir, name)), { recursive: true });
    await writeFile(join(dir, name), content);
    if (content.startsWith("#!")) await chmod(join(dir, name), 0o755);
  }
  return await server.deploy(dir);
}

const shellBootstrap = `#!/bin/sh
set -eu
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
headers=$(mktemp)
while true; do
  event=$(curl -sS -D "$headers" "$api/invocation/next")
  id=$(sed -n 's/^Lambda-Runtime-Aws-Request-Id: *//Ip' "$headers" | tr -d '\\r')
  echo "handling $id"
  case "$event" in
    *fail*) curl -sS -o /dev/null "$api/invocation/$id/error" -H "Lambda-Runtime-Function-Error-Type: Function.Refused" \\
      -d '{"errorType":"Refused","errorMessage":"no","stackTrace":["line 1"]}' ;;
    *) curl -sS -o /dev/null "$api/invocation/$id/response" -d "{\\"event\\":$event,\\"name\\":\\"$AWS_LAMBDA_FUNCTION_NAME\\",\\"pid\\":$$}" ;;
  esac
done
`;

suite("runtimes of one's own", () => {
  test("a bootstrap in shell answers calls and requests, and its output is logged", async () => {
    const deployed = await deploy("shell", { bootstrap: shellBootstrap });
    assert.deepEqual(
      deployed.functions.map(({ name, style, runtime }) => ({ name, style, runtime })),
      [{ name: "default", style: "lambda", runtime: "provided" }],
    );
    const response = await server.fetch("shell", "/a?b=c", { method: "POST", body: "hello" });
    const text = await response.text();
    assert.equal(response.status, 200, text);
    const answer = JSON.parse(text) as { event: { rawPath: string }; name: string; pid: number };
    assert.equal(answer.event.rawPath, "/a");
    assert.equal(answer.name, "shell-default");
    await until("its line", async () =>
      (await server.client.listLogs("shell", {})).some(({ message }) => message.startsWith("handling ")),
    );
  });
});

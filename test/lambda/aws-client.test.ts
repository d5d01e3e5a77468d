/**
 * Handlers driven by AWS's own Node client. Its install builds libcurl and takes two minutes, so it is not among the
 * dependencies: `node scripts/lambda-client.mjs` puts it where this test finds it.
 */
import assert from "node:assert/strict";
import { cp, mkdir, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { AloftError } from "../../src/contract/errors.ts";
import { ociMissing } from "../../src/sandbox/open-for-test.fixture.ts";
import { startTestServer, temporaryFolder, type TestServer, testToken } from "../kit/server.ts";
import { until } from "../kit/until.ts";

const installed = join(import.meta.dirname, "../../.aloft/lambda-client/node_modules");
const isInstalled = existsSync(join(installed, "aws-lambda-ric", "rapid-client.node"));
if (!isInstalled) console.log("skipped: aws-lambda-ric is not installed; node scripts/lambda-client.mjs installs it");

const noOci = await ociMissing();
if (isInstalled && noOci !== null) console.log(`skipped: ${noOci}`);

const scope = { after };

const handlers = `
export const handler = async (event, context) => {
  if (event.fail) throw new RangeError("out of " + event.fail);
  if (event.exit) process.exit(9);
  console.log("seen by the client");
  const { functionName, functionVersion, memoryLimitInMB, invokedFunctionArn, logGroupName } = context;
  const remaining = context.getRemainingTimeInMillis();
  return { event, functionName, functionVersion, memoryLimitInMB, invokedFunctionArn, logGroupName,
    isInTime: remaining > 0 && remaining <= 60000, env: process.env.AWS_EXECUTION_ENV, trace: process.env._X_AMZN_TRACE_ID };
};
export const said = async (event, { clientContext, identity }) => ({ clientContext, identity });
export const page = awslambda.streamifyResponse(async (event, stream) => {
  const body = awslambda.HttpResponseStream.from(stream, { statusCode: 203, headers: { "content-type": "text/plain" }, cookies: ["a=1"] });
  body.write("one ");
  await new Promise((resolve) => setTimeout(resolve, 20));
  if (event.rawPath === "/middle") throw new Error("in the middle");
  body.end("two");
});
`;

for (const sandbox of ["process", "oci"] as const) {
  const isSkipped = !isInstalled || (sandbox === "oci" && noOci !== null);
  const settings = { sandbox, sandboxNetwork: "none" } as const;
  const server = isSkipped ? null : await startTestServer(scope, { mode: "serve", settings });
  suite(`AWS's own client in the ${sandbox} sandbox`, { skip: isSkipped }, () => {
    if (server !== null) testsOn(server);
  });
}

function testsOn(server: TestServer): void {
  async function deploy(app: string, handler: string, code = handlers): Promise<void> {
    const dir = join(await temporaryFolder(scope), app);
    await mkdir(dir, { recursive: true });
    await writeFile(join(dir, "index.mjs"), code);
    await writeFile(join(dir, "aloft.json"), JSON.stringify({ runtime: "nodejs", handler, functions: {} }));
    const isNeeded = (path: string): boolean => !/aws-lambda-ric\/(?:deps|src)|node-gyp/.test(path);
    for (const name of ["aws-lambda-ric", "@aws"]) {
      await cp(join(installed, name), join(dir, "node_modules", name), { recursive: true, filter: isNeeded });
    }
    await server.deploy(dir);
  }
  const invoke = async (app: string, name: string, payload: unknown): Promise<Record<string, unknown>> => {
    const { body } = await server.client.invoke(app, name, "production", Buffer.from(JSON.stringify(payload)));
    return JSON.parse(body.toString()) as Record<string, unknown>;
  };

  test("a handler gets its event and AWS's context, and its output is logged", async () => {
    await deploy("client", "index.handler");
    const { trace, ...answer } = await invoke("client", "handler", { a: 1 });
    assert.match(String(trace), /^Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=[01]$/);
    assert.deepEqual(answer, {
      event: { a: 1 },
      functionName: "client-handler",
      functionVersion: "$LATEST",
      memoryLimitInMB: "256",
      invokedFunctionArn: "arn:aws:lambda:us-east-1:000000000000:function:client-handler",
      logGroupName: "/aws/lambda/client-handler",
      isInTime: true,
      env: `AWS_Lambda_nodejs${process.versions.node.split(".")[0]}.x`,
    });
    await until("its line", async () =>
      (await server.client.listLogs("client", {})).some(({ message }) => message.includes("seen by the client")),
    );
  });

  test("a handler finds what its caller said beside the payload", async () => {
    await deploy("said", "index.said");
    const clientContext = { custom: { who: "Zoë 日本" } };
    const identity = { cognitoIdentityId: "i", cognitoIdentityPoolId: "p" };
    const base64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64");
    const response = await fetch(`${server.admin}/v1/apps/said/functions/said/invoke`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${testToken}`,
        "x-amz-client-context": base64(clientContext),
        "x-amz-cognito-identity": base64(identity),
      },
      body: "{}",
    });
    assert.deepEqual(await response.json(), { clientContext, identity });
  });

  test("what it throws comes back as it was thrown, and its exit as an exit", async () => {
    await assert.rejects(invoke("client", "handler", { fail: "range" }), (error: unknown) => {
      assert.ok(error instanceof AloftError);
      assert.deepEqual([error.code, error.message], ["FUNCTION_THREW", "RangeError: out of range"]);
      assert.match(String(error.detail?.["stack"]), /\n {4}at .*handler \(.*index\.mjs:3:/);
      return true;
    });
    await assert.rejects(invoke("client", "handler", { exit: true }), {
      code: "FUNCTION_CRASHED",
      message: /Runtime\.ExitError: .*exit status 9/,
    });
    assert.partialDeepStrictEqual(await invoke("client", "handler", {}), { functionName: "client-handler" });
  });

  test("a streaming handler streams, and breaks off when it fails in the middle", async () => {
    await deploy("pages", "index.page");
    const response = await server.fetch("pages", "/");
    assert.equal(response.status, 203);
    assert.equal(response.headers.get("content-type"), "text/plain");
    assert.deepEqual(response.headers.getSetCookie(), ["a=1"]);
    assert.equal(await response.text(), "one two");
    const broken = await server.fetch("pages", "/middle");
    await assert.rejects(broken.text());
  });

  test("a handler that is not there fails the deploy in the client's words", async () => {
    await assert.rejects(deploy("absent", "index.nothing"), {
      code: "FUNCTION_START_FAILED",
      message: /Runtime\.HandlerNotFound: index\.nothing is undefined or not exported/,
    });
    await assert.rejects(deploy("broken", "index.handler", "import './none.mjs';"), {
      code: "FUNCTION_START_FAILED",
      message: /Cannot find module/,
    });
  });
}

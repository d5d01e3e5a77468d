/** What a caller says in headers beside the payload, as AWS's Invoke takes it, in each way of running a Lambda function. */
import assert from "node:assert/strict";
import { after, suite, test } from "node:test";
import { pythonMissing } from "../kit/python.ts";
import { startTestServer, testToken } from "../kit/server.ts";
import { deployProgram } from "./deploy.ts";

const scope = { after };
const server = await startTestServer(scope, { mode: "serve" });

const clientContext = { client: { installation_id: "i-1" }, custom: { "who's": "Zoë 日本" }, env: { locale: "de" } };
const cognitoIdentity = { cognitoIdentityId: "eu:1", cognitoIdentityPoolId: "eu:2" };
const root = "1-5759e988-bd862e3fe1be46a994272793";

function base64(value: unknown): string {
  // Indented: what reaches the function is one line all the same.
  return Buffer.from(JSON.stringify(value, null, 2)).toString("base64");
}

const all = {
  "x-amz-client-context": base64(clientContext),
  "x-amz-cognito-identity": base64(cognitoIdentity),
  "x-amzn-trace-id": `Root=${root};Parent=53995c3f42cd8ad8;Sampled=0`,
};

async function invoke(
  app: string,
  headers: Readonly<Record<string, string>>,
  name = "default",
  body = "{}",
): Promise<Response> {
  return await fetch(`${server.admin}/v1/apps/${app}/functions/${name}/invoke`, {
    method: "POST",
    headers: { authorization: `Bearer ${testToken}`, ...headers },
    body,
  });
}

suite("client context, Cognito identity and trace of a call", () => {
  test("a Node handler finds them in its context, and undefined without them", async () => {
    await server.deployFiles("node-handler", {
      "index.mjs": `export const handler = async (event, { clientContext, identity }) =>
        ({ clientContext, identity, trace: process.env._X_AMZN_TRACE_ID });`,
    });
    const { trace, ...said } = (await (await invoke("node-handler", all, "handler")).json()) as { trace: string };
    assert.deepEqual(said, { clientContext, identity: cognitoIdentity });
    assert.match(trace, new RegExp(`^Root=${root};Parent=[0-9a-f]{16};Sampled=0$`));
    const { trace: own, ...nothing } = (await (await invoke("node-handler", {}, "handler")).json()) as {
      trace: string;
    };
    assert.deepEqual(nothing, {});
    assert.doesNotMatch(own, new RegExp(root));
    // A request's own headers are its caller's business, and anybody's.
    const answer = await server.fetch("node-handler", "/", { headers: all });
    assert.deepEqual(Object.keys((await answer.json()) as object), ["trace"]);
  });

  test("a Python handler finds them as objects", { skip: pythonMissing() ?? false }, async () => {
    await server.deployFiles("python-handler", {
      "aloft.json": `{ "runtime": "python", "functions": { "default": { "handler": "app.handler" } } }`,
      "app.py": `
def handler(event, context):
    said = context.client_context
    return {
        "client": said and said.client.installation_id, "title": said and said.client.app_title,
        "custom": said and said.custom, "env": said and said.env,
        "identity": [context.identity.cognito_identity_id, context.identity.cognito_identity_pool_id],
    }
`,
    });
    const { custom, env } = clientContext;
    assert.deepEqual(await (await invoke("python-handler", all)).json(), {
      ...{ client: "i-1", title: null, custom, env },
      identity: ["eu:1", "eu:2"],
    });
    assert.deepEqual(await (await invoke("python-handler", {})).json(), {
      ...{ client: null, title: null, custom: null, env: null },
      identity: [null, null],
    });
  });

  test("a custom runtime gets them as headers, byte for byte", async () => {
    await deployProgram(server, scope, "headers", { bootstrap: { program: "bootstrap.sh" } });
    const response = await invoke("headers", all, "default", '"what was said"');
    assert.equal(response.status, 200);
    const answer = (await response.json()) as { context: string; identity: string; trace: string };
    assert.deepEqual(JSON.parse(answer.context), clientContext);
    assert.deepEqual(JSON.parse(answer.identity), cognitoIdentity);
    assert.match(answer.trace, new RegExp(`^Root=${root};`));
  });

  test("what is no JSON object in base64, or too long, is refused", async () => {
    for (const header of ["%%%", base64([1]), base64("text"), "a".repeat(3584)]) {
      const response = await invoke("node-handler", { "x-amz-client-context": header }, "handler");
      assert.equal(response.status, 400);
      assert.equal(((await response.json()) as { code: string }).code, "REQUEST_INVALID");
    }
  });
});

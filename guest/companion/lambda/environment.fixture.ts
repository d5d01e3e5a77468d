/** Real processes in an environment of their own: runtimes and extensions written in Node. */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { Environment } from "./environment.ts";
import type { InvokeResult } from "./invoke.ts";
import { testInvoke } from "./runtime-api.fixture.ts";

/** What every program here begins with: `ask(method, path, body, headers)`. */
export const client = `#!${process.execPath}
const { appendFileSync } = require("node:fs");
const api = "http://" + process.env.AWS_LAMBDA_RUNTIME_API;
const note = (text) => appendFileSync(process.env.NOTES, text + "\\n");
const { request, Agent } = require("node:http");
const agent = new Agent({ keepAlive: true });
const ask = (method, path, body = "", headers = {}) => new Promise((resolve, reject) => {
  const sent = request(api + path, { method, headers, agent }, (response) => {
    let text = ""; response.on("data", (chunk) => text += chunk);
    response.on("end", () => resolve({ headers: response.headers, text }));
  });
  sent.on("error", reject); sent.end(body);
});
const runtime = "/2018-06-01/runtime";
`;

/** Does what the event says: answers, fails, exits, or never answers. */
export const obedient = `${client}
process.on("SIGTERM", () => { note("runtime SIGTERM"); if (process.env.STUBBORN !== "1") process.exit(0); });
(async () => {
  note("runtime started");
  for (;;) {
    const { headers, text } = await ask("GET", runtime + "/invocation/next");
    const id = headers["lambda-runtime-aws-request-id"];
    const event = JSON.parse(text);
    if (event.exit !== undefined) process.exit(event.exit);
    if (event.signal !== undefined) { process.kill(process.pid, event.signal); await new Promise(() => {}); }
    if (event.hang) await new Promise((resolve) => setTimeout(resolve, 60_000));
    if (event.print) console.log(event.print);
    if (event.fail) await ask("POST", runtime + "/invocation/" + id + "/error", JSON.stringify(event.fail), { "lambda-runtime-function-error-type": "Function.Asked" });
    else await ask("POST", runtime + "/invocation/" + id + "/response", JSON.stringify({ pid: process.pid, event }));
    if (event.exitAfter) process.exit(1);
  }
})();
`;

/** Notes every event it gets; ends at SHUTDOWN. */
export const watcher = `${client}
(async () => {
  const name = require("node:path").basename(process.argv[1]);
  const { headers } = await ask("POST", "/2020-01-01/extension/register", JSON.stringify({ events: ["INVOKE", "SHUTDOWN"] }), { "Lambda-Extension-Name": name });
  const own = { "Lambda-Extension-Identifier": headers["lambda-extension-identifier"] };
  if (process.env.LISTEN) {
    const { createServer } = require("node:http");
    const server = createServer((request, response) => {
      let text = ""; request.on("data", (c) => text += c); request.on("end", () => { for (const { type, record } of JSON.parse(text)) note("heard " + type + " " + JSON.stringify(record)); response.end(); });
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    await ask("PUT", "/2022-07-01/telemetry", JSON.stringify({ schemaVersion: "2022-12-13", types: ["platform", "function", "extension"], buffering: { maxItems: 1000, maxBytes: 262144, timeoutMs: 25 }, destination: { protocol: "HTTP", URI: "http://sandbox.localdomain:" + server.address().port } }), own);
  }
  for (;;) {
    const event = JSON.parse((await ask("GET", "/2020-01-01/extension/event/next", undefined, own)).text);
    note(name + " " + event.eventType + " " + (event.requestId ?? event.shutdownReason));
    if (event.eventType === "SHUTDOWN") process.exit(0);
    if (process.env.CRASH) process.exit(3);
  }
})();
`;

export interface Given {
  readonly bootstrap?: string | Buffer;
  readonly mode?: number;
  readonly extensions?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly initMs?: number;
}

export interface Made {
  readonly environment: Environment;
  readonly printed: string[];
  notes(): string[];
  invoke(event: unknown, requestId?: string): Promise<InvokeResult>;
}

export function make(t: TestContext, given: Given): Made {
  const { bootstrap = obedient, mode = 0o755, extensions = {}, env = {}, initMs = 30_000 } = given;
  const dir = mkdtempSync(join(tmpdir(), "aloft-environment-"));
  const file = join(dir, "bootstrap");
  if (bootstrap !== "") {
    writeFileSync(file, bootstrap);
    chmodSync(file, mode);
  }
  mkdirSync(join(dir, "extensions"));
  const paths = Object.entries(extensions).map(([name, text]) => {
    const path = join(dir, "extensions", name);
    writeFileSync(path, text);
    chmodSync(path, 0o755);
    return path;
  });
  const notes = join(dir, "notes");
  writeFileSync(notes, "");
  const printed: string[] = [];
  const environment = new Environment({
    facts: { accountId: "0", functionName: "shop-f", functionVersion: "$LATEST", handler: "f", memoryMiB: 256 },
    argv: [file],
    cwd: dir,
    env: { PATH: process.env["PATH"] ?? "", NOTES: notes, ...env },
    extensions: paths,
    initMs,
    printed: (descriptor, line, extension) => printed.push(`${extension ?? "function"} ${descriptor} ${line}`),
  });
  t.after(async () => {
    await environment.shutdown("spindown");
    rmSync(dir, { recursive: true, force: true });
  });
  return {
    environment,
    printed,
    notes: () => readFileSync(notes, "utf8").split("\n").slice(0, -1),
    async invoke(event, requestId = "r1") {
      const deadlineMs = Date.now() + 30_000;
      const invoke = testInvoke({ requestId, deadlineMs, event: Buffer.from(JSON.stringify(event)) });
      const { result, over } = environment.invoke(invoke, () => true);
      await over;
      return await result;
    },
  };
}

export function answerOf(result: InvokeResult): { pid: number } {
  assert.ok(result.kind === "response", JSON.stringify(result));
  return JSON.parse(result.body.toString()) as { pid: number };
}

export function errorOf(result: InvokeResult): [string, string] {
  assert.ok(result.kind === "error", JSON.stringify(result));
  return [result.error.errorType, result.error.errorMessage];
}

/** Apps that cannot go live: each is refused with the place of the mistake, and what was live before goes on answering. */
import assert from "node:assert/strict";
import { truncate } from "node:fs/promises";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { bundleApp } from "../../src/build/bundle.ts";
import { AloftError, type ErrorCode } from "../../src/contract/errors.ts";
import { limits } from "../../src/contract/limits.ts";
import { startTestServer, temporaryFolder } from "../kit/server.ts";

const server = await startTestServer({ after });
const former = 'export default { fetch: () => new Response("the former deployment") };';
const fine = 'export default { fetch: () => new Response("fine") };';

interface Case {
  readonly name: string;
  readonly files: Readonly<Record<string, string>>;
  readonly code: ErrorCode;
  /** Of the message. */
  readonly says: RegExp;
  /** Of the stack that goes with it: the user's own place. */
  readonly at?: RegExp;
  readonly hints?: RegExp;
}

const cases: readonly Case[] = [
  {
    name: "an aloft.json that is not JSON",
    files: { "index.ts": fine, "aloft.json": '{\n  "entry": \n}' },
    code: "CONFIG_INVALID",
    says: /^aloft\.json:3:1 .*missing/,
  },
  {
    name: "an aloft.json with an unknown key",
    files: { "index.ts": fine, "aloft.json": '{ "functions": { "resize": { "memroy": "128MiB" } } }' },
    code: "CONFIG_INVALID",
    says: /^aloft\.json:1:\d+ functions\.resize\.memroy: unknown key; did you mean "memory"\?/,
  },
  {
    name: "a configured function that the code does not export",
    files: { "index.ts": fine, "aloft.json": '{ "functions": { "resize": { "memory": "128MiB" } } }' },
    code: "CONFIG_INVALID",
    says: /resize/,
  },
  {
    name: "a syntax error",
    files: { "index.ts": "export const a = 1;\n\nexport default { fetch: () => { };" },
    code: "BUILD_FAILED",
    says: /index\.ts:3:\d+/,
  },
  {
    name: "an import of a file that is not there",
    files: { "index.ts": `import { x } from "./missing.ts";\nexport default { fetch: () => new Response(x) };` },
    code: "BUILD_FAILED",
    says: /index\.ts:1:\d+.*missing\.ts/s,
  },
  {
    name: "no entry file",
    files: { "readme.md": "nothing to run" },
    code: "ENTRY_NOT_FOUND",
    says: /./,
  },
  {
    name: "a throw at import",
    files: {
      "index.ts": `import "./deep.ts";\n${fine}`,
      "deep.ts": 'const why = "not today";\n\nthrow new RangeError(why);',
    },
    code: "DESCRIBE_FAILED",
    says: /RangeError: not today/,
    at: /deep\.ts:3:\d+/,
  },
  {
    name: "a throw at import of something that is no error",
    files: { "index.ts": `${fine}\nthrow "a text";` },
    code: "DESCRIBE_FAILED",
    says: /a text/,
  },
  {
    name: "an import that never ends",
    files: { "index.ts": `${fine}\nfor (;;);` },
    code: "DESCRIBE_FAILED",
    says: /longer than 10 s/,
  },
  {
    name: "an import that waits for ever",
    files: { "index.ts": `${fine}\nawait new Promise(() => {});` },
    code: "DESCRIBE_FAILED",
    says: /longer than 10 s/,
  },
  {
    name: "no exports",
    files: { "index.ts": 'console.log("imported");' },
    code: "NO_FUNCTIONS",
    says: /./,
  },
  {
    name: "exports that are no functions",
    files: { "index.ts": "export const answer = 42; export default { name: 'x' };" },
    code: "NO_FUNCTIONS",
    says: /./,
  },
  {
    name: "two functions with one route",
    files: {
      "index.ts": `import { http } from "aloft";
        export const first = http("GET /links/:id", () => new Response("1"));
        export const second = http("GET /links/:name", () => new Response("2"));`,
    },
    code: "ROUTE_CONFLICT",
    says: /first.*second|second.*first/s,
  },
  {
    name: "a route that is none",
    files: {
      "index.ts": 'import { http } from "aloft";\nexport const a = http("FETCH a" as never, () => new Response());',
    },
    code: "DESCRIBE_FAILED",
    says: /FETCH a/,
    at: /index\.ts:2:\d+/,
  },
  {
    name: "an option out of range",
    files: {
      "index.ts": 'import { http } from "aloft";\nexport const a = http("/", { memoryMiB: 1 }, () => new Response());',
    },
    code: "DESCRIBE_FAILED",
    says: /memoryMiB of the function a is 1;/,
  },
  {
    name: "more functions than an app may have",
    files: {
      "index.ts": `import { fn } from "aloft";
        ${Array.from({ length: limits.functionsPerApp + 1 }, (_, n) => `export const f${n} = fn(() => ${n});`).join("\n")}`,
    },
    code: "DESCRIBE_FAILED",
    says: /1001 functions, over the limit of 1000/,
  },
  {
    name: "process.exit at import",
    files: { "index.ts": `${fine}\nprocess.exit(0);` },
    code: "DESCRIBE_FAILED",
    says: /process\.exit\(0\)/,
    at: /index\.ts:2:\d+/,
  },
  {
    name: "a process that ends itself at import",
    files: { "index.ts": `${fine}\nprocess.kill(process.pid, "SIGKILL"); for (;;);` },
    code: "DESCRIBE_FAILED",
    says: /SIGKILL/,
  },
  {
    name: "an import that fills the heap",
    files: { "index.ts": `${fine}\nconst all: unknown[] = []; for (;;) all.push(new Array(1000).fill(all.length));` },
    code: "DESCRIBE_FAILED",
    says: /256 MiB/,
    hints: /256 MiB/,
  },
  {
    name: "an import that fills memory beside the heap",
    files: { "index.ts": `${fine}\nconst all: unknown[] = []; for (;;) all.push(Buffer.alloc(1 << 20, 1));` },
    code: "DESCRIBE_FAILED",
    says: /256 MiB/,
    hints: /256 MiB/,
  },
  {
    name: "an import that writes to the platform's socket",
    files: { "index.ts": `import { writeSync } from "node:fs";\nwriteSync(3, "hello, node");\n${fine}` },
    code: "DESCRIBE_FAILED",
    says: /platform's socket/,
  },
  {
    name: "an import that prints without end",
    files: { "index.ts": `import { writeSync } from "node:fs";\nfor (;;) writeSync(1, "x".repeat(65536));\n` },
    code: "DESCRIBE_FAILED",
    says: /longer than 10 s|no end/,
  },
];

describe("an app is refused, and what was live goes on, for", { concurrency: 8 }, () => {
  for (const [number, { name, files, code, says, at, hints }] of cases.entries()) {
    test(name, async () => {
      const app = `refused-${number}`;
      const live = await server.deployFiles(app, { "index.ts": former });
      const error = await refusal(() => server.deployFiles(app, files));
      assert.equal(error.code, code, error.message);
      assert.match(error.message, says);
      if (at !== undefined) assert.match(String(error.detail?.["stack"]), at);
      if (hints !== undefined) assert.match(error.hint ?? "", hints);
      const answer = await server.fetch(app, "/");
      assert.equal(await answer.text(), "the former deployment");
      const deployments = await server.client.listDeployments(app);
      assert.deepEqual(
        deployments.filter((one) => one.aliases.includes("production")).map((one) => one.id),
        [live.deployment],
      );
    });
  }
});

test("an import that fails with the real variables alone is refused before it goes live", async () => {
  await server.deployFiles("picky", { "index.ts": former });
  await server.client.changeVariables("picky", "production", { set: { MODE: "wrong" } });
  const picky = `if (process.env.MODE === "wrong")\n  throw new Error("MODE is " + process.env.MODE);\n${fine}`;
  const error = await refusal(() => server.deployFiles("picky", { "index.ts": picky }));
  assert.equal(error.code, "FUNCTION_START_FAILED");
  assert.match(error.message, /MODE is wrong/);
  assert.match(String(error.detail?.["stack"]), /index\.ts:2:\d+/);
  assert.equal(await (await server.fetch("picky", "/")).text(), "the former deployment");
  await server.client.changeVariables("picky", "production", { set: { MODE: "right" } });
  await server.deployFiles("picky", { "index.ts": picky });
  assert.equal(await (await server.fetch("picky", "/")).text(), "fine");
});

test("a file over the limit is refused before anything is uploaded", async (t) => {
  const folder = await temporaryFolder(t, {
    "index.ts": fine,
    "model.bin": "",
    "aloft.json": '{ "files": ["model.bin"] }',
  });
  // Sparse: it takes no room on the disk.
  await truncate(join(folder, "model.bin"), 300 * 1024 * 1024);
  const error = await refusal(() => bundleApp({ dir: folder }));
  assert.equal(error.code, "DEPLOYMENT_TOO_LARGE");
  assert.match(error.message, /model\.bin.*300 MiB.*256 MiB|model\.bin.*314572800.*268435456/);
});

test("the server refuses a deployment over the limit whatever the client says", async () => {
  const file = { path: "index.js", hash: "0".repeat(64) };
  const begin = { alias: "production", runtime: "node", entry: "index.js", config: "" } as const;
  const huge = await refusal(() =>
    server.client.beginDeploy("huge", { ...begin, files: [{ ...file, bytes: limits.fileBytes + 1 }] }),
  );
  assert.equal(huge.code, "DEPLOYMENT_TOO_LARGE");
  const files = Array.from({ length: 5 }, (_, number) => ({ ...file, path: `f${number}.js`, bytes: limits.fileBytes }));
  const many = await refusal(() => server.client.beginDeploy("huge", { ...begin, entry: "f0.js", files }));
  assert.equal(many.code, "DEPLOYMENT_TOO_LARGE");
  assert.equal((await server.fetch("huge", "/")).status, 404);
});

async function refusal(attempt: () => Promise<unknown>): Promise<AloftError> {
  const error = await attempt().then(
    () => assert.fail("it was not refused"),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof AloftError, String(error));
  return error;
}

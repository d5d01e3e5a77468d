/**
 * What the decisions on the path of every request cost, in nanoseconds: `node bench/micro/router.ts`.
 *
 * Routing is measured with one app and with ten thousand, in the same run, with host strings made anew for each
 * request as node:http makes them: a string that was hashed before would hide the lookup's price. Rounds of both are
 * interleaved and the median is shown. The goal, 10,000 apps within 5 % of one, is meant of a whole request (about 30 us).
 */
import type { IncomingMessage } from "node:http";
import type { FunctionSpec, LiveDeployment } from "../../src/contract/deployment.ts";
import type { LiveSource } from "../../src/contract/running.ts";
import { readTarget } from "../../src/dispatch/request-target.ts";
import { createRouter } from "../../src/dispatch/router.ts";
import { createHeaderScan, scanHeaders } from "../../src/doors/http/request-headers.ts";
import { createIds, traceparent } from "../../src/lib/ids.ts";
import { createScalerState, decideScale } from "../../src/pool/autoscaler.ts";
import { pickInstance } from "../../src/pool/instance-choice.ts";

const rounds = 9;
const batch = 20_000;
let sink = 0;

const limits = {
  memoryMiB: 256,
  timeoutMs: 30_000,
  concurrency: 64,
  minInstances: 0,
  maxInstances: 10,
  keepAliveMs: 60_000,
};

const fetchFunction: FunctionSpec = {
  name: "default",
  style: "fetch",
  triggers: [{ kind: "http", method: "*", path: "/*" }],
  limits,
  group: "http",
};

const linksFunctions: FunctionSpec[] = ["GET /links/:id", "POST /links", "GET /", "GET /files/*"].map((text) => {
  const [method = "", path = ""] = text.split(" ");
  return { name: text, style: "http", triggers: [{ kind: "http", method, path }], limits, group: "http" };
});

function sourceOf(apps: number, functions: readonly FunctionSpec[]): LiveSource {
  const names = Array.from({ length: apps }, (_, index) => `app${index}`);
  const live = new Map(
    names.map((app, index): [string, LiveDeployment] => {
      const deploymentId = index.toString(16).padStart(40, "0");
      const base = {
        format: 1,
        runtime: "node",
        entry: "index.js",
        files: [],
        groups: [],
        domains: [],
        network: "internet",
      } as const;
      const manifest = { ...base, functions, requiredVariables: [] };
      return [
        app,
        { app, alias: "production", deploymentId, root: "/", manifest, variables: {}, revision: deploymentId },
      ];
    }),
  );
  return {
    findLive: (app) => live.get(app) ?? null,
    findDomain: () => null,
    defaultApp: () => "app0",
    hasApp: (app) => live.has(app),
    appNames: () => names,
  };
}

/** Routes a batch; hosts are cut from one buffer, outside of the measured time. */
function routing(apps: number, functions: readonly FunctionSpec[], path: string): () => number {
  const router = createRouter(sourceOf(apps, functions), { baseDomain: "localhost", loopbackOnly: false });
  const target = { path: "", pathAndQuery: "", authority: null };
  const names = Array.from({ length: apps }, (_, index) => Buffer.from(`app${index}.localhost:8787`));
  let next = 0;
  return () => {
    const hosts = Array.from({ length: batch }, () =>
      (names[(next += 1) % apps] ?? Buffer.alloc(0)).toString("latin1"),
    );
    const startedAt = process.hrtime.bigint();
    for (const host of hosts) {
      readTarget("GET", path, target);
      const route = router.routeApp(host, null);
      if (route.kind === "failure") throw new Error(route.message);
      const match = router.match(route, "GET", target.path);
      if (match.kind === "function") sink += match.functionIndex;
    }
    return Number(process.hrtime.bigint() - startedAt) / batch;
  };
}

function repeated(work: () => number): () => number {
  return () => {
    const startedAt = process.hrtime.bigint();
    for (let index = 0; index < batch; index += 1) sink += work();
    return Number(process.hrtime.bigint() - startedAt) / batch;
  };
}

function others(): [string, () => number][] {
  const ids = createIds(Date.now());
  const scan = createHeaderScan();
  const socket = { remoteAddress: "127.0.0.1", localPort: 8787 };
  const few = ["Host", "127.0.0.1:8787"];
  const curl = ["Host", "hello.localhost:8787", "User-Agent", "curl/8.5.0", "Accept", "*/*"];
  const many = [
    ...curl,
    ...Array.from({ length: 9 }, (_, index) => [`Sec-Header-${index}`, "some value or other"]).flat(),
  ];
  const requestOf = (rawHeaders: string[]) => ({ rawHeaders, socket }) as unknown as IncomingMessage;
  const scanning = (headers: string[]) => {
    const req = requestOf(headers);
    return () => scanHeaders(req, false, "0199f00aaabb00000000000000000001", scan).length + scan.headers.length;
  };
  const policy = { concurrency: 64, minInstances: 0, maxInstances: 100, cores: 2 };
  const state = createScalerState(0, 0);
  const sample = { load: 20, loopUse: 0.5, ready: 1, spareCores: 1 };
  let nowMs = 0;
  const instances = Array.from({ length: 10 }, (_, index) => ({
    inFlight: index === 9 ? 3 : 5,
    accepting: true,
    idleSinceMs: 0,
    memoryBytes: 1,
    kept: false,
  }));
  const epochMs = Date.now();
  let made = 0;
  return [
    ["invocation id", () => ids.invocationId(epochMs + ((made += 1) >> 5)).length],
    ["traceparent of its own", () => traceparent(null, "0199f00aaabb00000000000000000001").length],
    ["header scan, 1 header", scanning(few)],
    ["header scan, 3 headers", scanning(curl)],
    ["header scan, 12 headers", scanning(many)],
    ["pick one of 1 instance", () => pickInstance(instances.slice(9), 64)?.inFlight ?? 0],
    ["pick one of 10 instances", () => pickInstance(instances, 64)?.inFlight ?? 0],
    ["autoscaler tick", () => decideScale(state, sample, policy, (nowMs += 250)).desired],
  ].map(([name, work]) => [name as string, repeated(work as () => number)]);
}

const measured: [string, () => number][] = [
  ["route, default export, 1 app", routing(1, [fetchFunction], "/hello?name=x")],
  ["route, default export, 10,000 apps", routing(10_000, [fetchFunction], "/hello?name=x")],
  ["route, GET /links/:id, 1 app", routing(1, linksFunctions, "/links/4f2a9c")],
  ["route, GET /links/:id, 1,000 apps", routing(1_000, linksFunctions, "/links/4f2a9c")],
  ["route, GET /links/:id, 10,000 apps", routing(10_000, linksFunctions, "/links/4f2a9c")],
  ...others(),
];

const results = measured.map(([name]) => ({ name, ns: [] as number[] }));
for (let round = 0; round < rounds; round += 1) {
  for (const [index, [, run]] of measured.entries()) results[index]?.ns.push(run());
}
for (const { name, ns } of results) {
  const median = ns.toSorted((a, b) => a - b)[Math.floor(rounds / 2)] ?? 0;
  console.log(`${name.padEnd(40)} ${median.toFixed(0).padStart(8)} ns`);
}
console.log(`(${rounds} rounds of ${batch}; ${sink % 10})`);

import assert from "node:assert/strict";
import { test } from "node:test";
import type { LiveDeployment } from "../contract/deployment.ts";
import type { LiveSource } from "../contract/running.ts";
import { createRouter } from "./router.ts";

function deployment(app: string, alias: string, id: string, domains: string[] = []): LiveDeployment {
  const manifest = {
    format: 1,
    runtime: "node",
    entry: "index.js",
    files: [],
    functions: [],
    groups: [],
    domains,
    network: "internet",
    requiredVariables: [],
  } as const;
  return { app, alias, deploymentId: id, root: "/", manifest: { ...manifest, domains }, variables: {}, revision: id };
}

/** A source in memory that counts how often it is asked. */
function sourceOf(...deployments: LiveDeployment[]) {
  const live = new Map(deployments.map((one) => [`${one.app}@${one.alias}`, one]));
  const counted = { asked: 0, live, defaultName: "hello" as string | null };
  const source: LiveSource = {
    findLive(app, alias) {
      counted.asked += 1;
      return live.get(`${app}@${alias}`) ?? null;
    },
    findDomain: (host) => [...live.values()].find((one) => one.manifest.domains.includes(host))?.app ?? null,
    defaultApp: () => counted.defaultName,
    hasApp: (app) => [...live.values()].some((one) => one.app === app),
    appNames: () => [...new Set([...live.values()].map((one) => one.app))],
  };
  return { source, counted };
}

const apps = [
  deployment("hello", "production", "h1"),
  deployment("shop", "production", "s1", ["shop.example.com"]),
  deployment("shop", "preview", "s2"),
];

type Case = [host: string | null, header: string | null, expected: string];

function check(options: { baseDomain: string; loopbackOnly: boolean }, cases: Case[]): void {
  const router = createRouter(sourceOf(...apps).source, options);
  // Twice: the second time from what was kept.
  for (const [host, header, expected] of [...cases, ...cases]) {
    const route = router.routeApp(host, header);
    assert.equal(route.kind === "app" ? `${route.app}@${route.alias}` : route.code, expected, `${host} + ${header}`);
  }
}

test("a host name leads to an app and its alias", () => {
  check({ baseDomain: "Aloft.test", loopbackOnly: false }, [
    ["shop.aloft.test", null, "shop@production"],
    ["SHOP.aloft.test.:8787", null, "shop@production"],
    ["preview--shop.aloft.test", null, "shop@preview"],
    ["production--shop.aloft.test", null, "shop@production"],
    ["nightly--shop.aloft.test", null, "ALIAS_NOT_FOUND"],
    ["--shop.aloft.test", null, "REQUEST_INVALID"],
    ["preview--none.aloft.test", null, "APP_NOT_FOUND"],
    ["none.aloft.test", null, "APP_NOT_FOUND"],
    ["a.shop.aloft.test", null, "APP_NOT_FOUND"],
    ["shop.example.com", null, "shop@production"],
    ["Shop.Example.com:443", null, "shop@production"],
    ["other.example.com", null, "APP_NOT_FOUND"],
    ["evilaloft.test", null, "APP_NOT_FOUND"],
    ["not a host", null, "REQUEST_INVALID"],
    ["", null, "REQUEST_INVALID"],
  ]);
});

test("the header names an app only where the host does not", () => {
  check({ baseDomain: "aloft.test", loopbackOnly: false }, [
    ["aloft.test", null, "hello@production"],
    ["aloft.test", "shop", "shop@production"],
    ["aloft.test:80", "shop@preview", "shop@preview"],
    ["localhost:8787", "shop", "shop@production"],
    ["127.0.0.1", "shop", "shop@production"],
    ["10.1.2.3:8787", null, "hello@production"],
    ["[::1]:8787", "shop", "shop@production"],
    [null, "shop", "shop@production"],
    [null, null, "hello@production"],
    ["localhost", "none", "APP_NOT_FOUND"],
    ["localhost", "shop@none", "ALIAS_NOT_FOUND"],
    ["localhost", "shop@../x", "ALIAS_NOT_FOUND"],
    ["localhost", "../x", "APP_NOT_FOUND"],
    ["localhost", "", "APP_NOT_FOUND"],
    ["hello.aloft.test", "shop", "hello@production"],
    ["shop.example.com", "hello", "shop@production"],
  ]);
});

test("a server for its developer answers this machine's names alone", () => {
  check({ baseDomain: "localhost", loopbackOnly: true }, [
    ["shop.localhost:8787", null, "shop@production"],
    ["preview--shop.localhost", null, "shop@preview"],
    ["localhost:8787", null, "hello@production"],
    ["localhost", "shop", "shop@production"],
    ["127.0.0.1:8787", "shop", "shop@production"],
    ["127.8.8.8", null, "hello@production"],
    ["[::1]", null, "hello@production"],
    ["evil.example.com", null, "REQUEST_INVALID"],
    ["shop.example.com", null, "REQUEST_INVALID"],
    ["192.168.1.5:8787", null, "REQUEST_INVALID"],
    ["localhost.evil.com", "shop", "REQUEST_INVALID"],
    ["shop.localhost.", null, "shop@production"],
  ]);
});

test("what there is is told to the developer and to nobody else", () => {
  const { source } = sourceOf(...apps);
  const dev = createRouter(source, { baseDomain: "localhost", loopbackOnly: true }).routeApp("none.localhost", null);
  const open = createRouter(source, { baseDomain: "localhost", loopbackOnly: false }).routeApp("none.localhost", null);
  assert.deepEqual(dev.kind === "failure" && dev.detail, { apps: ["hello", "shop"] });
  assert.ok(open.kind === "failure" && open.detail === undefined);
});

test("a host is resolved once, and again after a deployment was published", () => {
  const { source, counted } = sourceOf(...apps);
  const router = createRouter(source, { baseDomain: "localhost", loopbackOnly: false });
  const idOf = (host: string) => {
    const route = router.routeApp(host, null);
    return route.kind === "app" ? route.live.deploymentId : route.code;
  };
  for (let index = 0; index < 5; index += 1) assert.equal(idOf("shop.localhost"), "s1");
  assert.equal(counted.asked, 1);

  const next = deployment("shop", "production", "s3", ["new.example.com"]);
  counted.live.set("shop@production", next);
  router.publish("shop", "production", next);
  assert.deepEqual(["shop.localhost", "new.example.com", "shop.example.com"].map(idOf), ["s3", "s3", "APP_NOT_FOUND"]);
  assert.equal(counted.asked, 1);

  counted.live.delete("shop@production");
  router.publish("shop", "production", null);
  assert.deepEqual(["shop.localhost", "new.example.com", "preview--shop.localhost"].map(idOf), [
    "ALIAS_NOT_FOUND",
    "APP_NOT_FOUND",
    "s2",
  ]);
});

test("a bare host follows the default app as it is now", () => {
  const { source, counted } = sourceOf(...apps);
  const router = createRouter(source, { baseDomain: "localhost", loopbackOnly: false });
  const appOf = () => {
    const route = router.routeApp("localhost", null);
    return route.kind === "app" ? route.app : route.message;
  };
  assert.equal(appOf(), "hello");
  counted.defaultName = "shop";
  assert.equal(appOf(), "shop");
  counted.defaultName = null;
  assert.equal(appOf(), "no app has been deployed yet");
});

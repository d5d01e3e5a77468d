import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { limits } from "../contract/limits.ts";
import { ManualClock } from "../lib/clock.ts";
import {
  chunksOf,
  codeOf,
  contentHash,
  deploy,
  deployRequest,
  openTestApps,
  sendDeploy,
  type Folder,
} from "./apps.fixture.ts";
import { openMemoryMetaStore } from "./meta/memory-meta-store.ts";

const base = await mkdtemp(join(tmpdir(), "aloft-apps-"));
after(() => rm(base, { recursive: true }));
let folders = 0;
const newFolder = (): string => join(base, String(++folders));
const open = (clock?: ManualClock) => openTestApps(newFolder(), openMemoryMetaStore(), clock);

async function contentsIn(files: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of await readdir(files, { recursive: true }))
    if (/^..\/[0-9a-f]{64}$/.test(name)) found.push(name.slice(3));
  return found.toSorted();
}

test("the first deploy of an app goes live with its files, and the app becomes the default one", async () => {
  const { apps, running } = await open();
  const answer = await deploy(apps, "shop", { ...codeOf(["hello"]), "data/x.txt": "x" });
  assert.equal(answer.changed, true);
  assert.equal(answer.number, 1);
  assert.match(answer.deployment, /^[0-9a-f]{40}$/);
  assert.deepEqual(answer.urls, ["http://shop.localhost:8787", "http://localhost:8787"]);
  assert.deepEqual(answer.functions[0]?.urls, ["http://shop.localhost:8787/hello"]);
  const live = apps.findLive("shop", "production");
  assert.ok(live);
  assert.equal(running.live.get("shop/production"), live);
  assert.equal(await readFile(join(live.root, "data/x.txt"), "utf8"), "x");
  assert.equal(apps.defaultApp(), "shop");
  await deploy(apps, "other", codeOf(["hello"]));
  assert.equal(apps.defaultApp(), "shop");
  await apps.setDefaultApp("other");
  assert.equal(apps.defaultApp(), "other");
  assert.deepEqual(apps.appNames(), ["other", "shop"]);
  await apps.close();
});

test("the same content is neither sent nor described nor moved again", async () => {
  const { apps, running } = await open();
  const first = await deploy(apps, "shop", codeOf(["hello"]));
  const { number, missing } = await apps.beginDeploy("shop", deployRequest(codeOf(["hello"])));
  assert.deepEqual(missing, []);
  const second = await apps.finishDeploy("shop", number);
  assert.equal(second.changed, false);
  assert.equal(second.deployment, first.deployment);
  assert.equal(running.described.length, 1);
  assert.equal(apps.getApp("shop").aliases[0]?.number, 1);
  const preview = await deploy(apps, "shop", codeOf(["hello"]), "preview");
  assert.equal(preview.changed, true);
  assert.deepEqual(preview.urls, ["http://preview--shop.localhost:8787"]);
  assert.equal(running.described.length, 1);
  await apps.close();
});

test("the bytes of another app do not count as sent", async () => {
  const { apps } = await open();
  const secret: Folder = { ...codeOf(["hello"]), "secret.txt": "the other's secret" };
  await deploy(apps, "victim", secret);
  const { number, missing } = await apps.beginDeploy("thief", deployRequest(secret));
  assert.equal(missing.length, 2);
  await apps.receiveFile("thief", number, contentHash(secret["main.json"] ?? ""), chunksOf(secret["main.json"] ?? ""));
  await assert.rejects(apps.finishDeploy("thief", number), { code: "FILE_MISSING" });
  // It may still be sent, and then the deploy can be finished.
  await apps.receiveFile("thief", number, contentHash("the other's secret"), chunksOf("the other's ", "secret"));
  assert.equal((await apps.finishDeploy("thief", number)).changed, true);
  await apps.close();
});

test("a file that was not announced, or is not what was announced, is refused", async () => {
  const { apps } = await open();
  const { number } = await apps.beginDeploy("shop", deployRequest(codeOf(["hello"])));
  await assert.rejects(apps.receiveFile("shop", number, "0".repeat(64), chunksOf("x")), { code: "REQUEST_INVALID" });
  const hash = contentHash(codeOf(["hello"])["main.json"] ?? "");
  await assert.rejects(apps.receiveFile("shop", number, hash, chunksOf("x")), { code: "FILE_HASH_MISMATCH" });
  await assert.rejects(apps.receiveFile("shop", number + 1, hash, chunksOf("x")), { code: "DEPLOY_NOT_FOUND" });
  await assert.rejects(apps.finishDeploy("other", number), { code: "DEPLOY_NOT_FOUND" });
  await apps.close();
});

test("code that cannot be described or imported is refused, changes nothing and leaves nothing", async () => {
  const { apps, running, files, deployments } = await open();
  const good = await deploy(apps, "shop", codeOf(["hello"]));
  const before = await contentsIn(files);
  await apps.changeVariables("shop", "production", { set: { MODE: "bad" }, unset: [] });
  const table: [string, string][] = [
    ["not json", "DESCRIBE_FAILED"],
    [JSON.stringify({ functions: ["a"], breaksWith: "MODE=bad" }), "FUNCTION_START_FAILED"],
  ];
  for (const [code, expected] of table) {
    await assert.rejects(deploy(apps, "shop", { "main.json": code }), { code: expected });
    assert.equal(apps.findLive("shop", "production")?.deploymentId, good.deployment);
    assert.equal(running.live.get("shop/production")?.deploymentId, good.deployment);
  }
  await apps.collect();
  assert.deepEqual(await contentsIn(files), before);
  assert.deepEqual(await readdir(join(deployments, "shop")), [good.deployment]);
  await assert.rejects(deploy(apps, "fresh", { "main.json": "not json" }), { code: "DESCRIBE_FAILED" });
  assert.equal(apps.hasApp("fresh"), false);
  await apps.close();
});

test("of two deploys the one that began later wins, and the other is stored", async () => {
  const { apps, running } = await open();
  const early = await sendDeploy(apps, "shop", codeOf(["early"]));
  const late = await sendDeploy(apps, "shop", codeOf(["late"]));
  const { promise: lateIsLive, resolve: letGo } = Promise.withResolvers<void>();
  const { promise: earlyPrepares, resolve: tellPreparing } = Promise.withResolvers<void>();
  running.beforePrepare = async (live) => {
    if (live.manifest.functions[0]?.name !== "early") return;
    tellPreparing();
    await lateIsLive;
  };
  const earlyAnswer = apps.finishDeploy("shop", early);
  await earlyPrepares;
  const lateAnswer = await apps.finishDeploy("shop", late);
  letGo();
  await assert.rejects(earlyAnswer, { code: "DEPLOY_SUPERSEDED" });
  assert.equal(apps.findLive("shop", "production")?.deploymentId, lateAnswer.deployment);
  assert.equal(apps.listDeployments("shop").length, 2);
  // One that began before the last one settled is too late before it is even imported.
  const stored = apps.listDeployments("shop").find((each) => each.id !== lateAnswer.deployment);
  const rolled = await apps.rollback("shop", { alias: "production", deployment: stored?.id ?? "" });
  assert.equal(rolled.number, 3);
  await apps.close();
});

test("a deploy that changes nothing still makes an earlier one too late", async () => {
  const { apps } = await open();
  await deploy(apps, "shop", codeOf(["a"]));
  const early = await sendDeploy(apps, "shop", codeOf(["b"]));
  assert.equal((await deploy(apps, "shop", codeOf(["a"]))).changed, false);
  await assert.rejects(apps.finishDeploy("shop", early), { code: "DEPLOY_SUPERSEDED" });
  await apps.close();
});

test("numbers are never given twice, however many deploys begin at once", async () => {
  const { apps } = await open();
  const begun = await Promise.all(
    Array.from({ length: 10 }, () => apps.beginDeploy("shop", deployRequest(codeOf(["a"])))),
  );
  assert.deepEqual(
    begun.map((each) => each.number).toSorted((a, b) => a - b),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
  );
  await apps.close();
});

test("many apps and many deploys of one app at once all end well", async () => {
  const { apps } = await open();
  const outcomes = await Promise.allSettled(
    Array.from({ length: 24 }, (_, index) => deploy(apps, `app${index % 8}`, codeOf([`f${index}`]))),
  );
  for (const outcome of outcomes) {
    if (outcome.status === "rejected")
      assert.equal(outcome.reason.code, "DEPLOY_SUPERSEDED", String(outcome.reason.stack));
  }
  assert.equal(apps.listApps().length, 8);
  for (const app of apps.appNames()) {
    assert.equal(apps.getApp(app).aliases[0]?.number, 3);
    assert.equal(apps.findLive(app, "production")?.manifest.functions.length, 1);
  }
  await apps.close();
});

test("rollback goes to the deployment before, or to the one whose id begins so", async () => {
  const { apps, running } = await open();
  await assert.rejects(apps.rollback("shop", { alias: "production" }), { code: "APP_NOT_FOUND" });
  const a = await deploy(apps, "shop", codeOf(["a"]));
  await assert.rejects(apps.rollback("shop", { alias: "production" }), { code: "NOTHING_TO_ROLL_BACK" });
  await assert.rejects(apps.rollback("shop", { alias: "preview" }), { code: "ALIAS_NOT_FOUND" });
  const b = await deploy(apps, "shop", codeOf(["b"]));
  const c = await deploy(apps, "shop", codeOf(["c"]));
  const described = running.described.length;
  const back = await apps.rollback("shop", { alias: "production" });
  assert.equal(back.deployment, b.deployment);
  assert.equal(back.number, 4);
  assert.equal(running.live.get("shop/production")?.deploymentId, b.deployment);
  assert.equal(
    (await apps.rollback("shop", { alias: "production", deployment: a.deployment.slice(0, 12) })).deployment,
    a.deployment,
  );
  assert.equal((await apps.rollback("shop", { alias: "production", deployment: a.deployment })).changed, false);
  assert.equal((await apps.rollback("shop", { alias: "production" })).deployment, b.deployment);
  assert.equal(running.described.length, described);
  for (const deployment of ["", "zz"]) {
    await assert.rejects(apps.rollback("shop", { alias: "production", deployment }), { code: "DEPLOYMENT_NOT_FOUND" });
  }
  assert.ok(c.changed);
  await apps.close();
});

test("a domain belongs to the app whose production claims it, until that no longer does", async () => {
  const { apps } = await open();
  const claiming = { ...codeOf(["a"]), "aloft.json": '{ "domains": ["shop.example"] }' };
  await deploy(apps, "shop", claiming, "preview");
  assert.equal(apps.findDomain("shop.example"), null);
  await deploy(apps, "shop", claiming);
  assert.equal(apps.findDomain("shop.example"), "shop");
  assert.deepEqual(apps.getApp("shop").domains, ["shop.example"]);
  await assert.rejects(deploy(apps, "thief", claiming), { code: "DOMAIN_TAKEN" });
  assert.equal(apps.findLive("thief", "production"), null);
  await deploy(apps, "shop", codeOf(["b"]));
  assert.equal(apps.findDomain("shop.example"), null);
  await deploy(apps, "thief", claiming);
  await assert.rejects(apps.rollback("shop", { alias: "production" }), { code: "DOMAIN_TAKEN" });
  await apps.removeApp("thief");
  assert.equal((await apps.rollback("shop", { alias: "production" })).changed, true);
  assert.equal(apps.findDomain("shop.example"), "shop");
  await apps.close();
});

test("of two apps that claim one domain at once, one gets it", async () => {
  const { apps } = await open();
  const claiming = { ...codeOf(["a"]), "aloft.json": '{ "domains": ["shop.example"] }' };
  const outcomes = await Promise.allSettled(["one", "two"].map((app) => deploy(apps, app, claiming)));
  assert.deepEqual(
    outcomes.map((outcome) => (outcome.status === "fulfilled" ? "live" : outcome.reason.code)).toSorted(),
    ["DOMAIN_TAKEN", "live"],
  );
  await apps.close();
});

test("removing an app removes everything of it, bytes included, and nothing of others", async () => {
  const { apps, running, files, deployments } = await open();
  const shared = { ...codeOf(["a"]), "shared.txt": "both have it" };
  await deploy(apps, "other", shared);
  const before = await contentsIn(files);
  await deploy(apps, "shop", { ...shared, "own.txt": "mine" });
  await apps.changeVariables("shop", "production", { set: { KEY: "v" }, unset: [] });
  const open1 = await sendDeploy(apps, "shop", codeOf(["b"]));
  await apps.removeApp("shop");
  assert.equal(apps.hasApp("shop"), false);
  assert.equal(apps.findLive("shop", "production"), null);
  assert.equal(running.live.has("shop/production"), false);
  await assert.rejects(apps.finishDeploy("shop", open1), { code: "DEPLOY_NOT_FOUND" });
  await assert.rejects(apps.removeApp("shop"), { code: "APP_NOT_FOUND" });
  // Its instances still finish what they have: their folder stays until they have ended.
  await apps.collect();
  assert.equal((await readdir(join(deployments, "shop"))).length, 1);
  running.endDrained();
  await apps.collect();
  assert.equal(existsSync(join(deployments, "shop")), false);
  assert.deepEqual(await contentsIn(files), before);
  assert.equal(apps.defaultApp(), "other");
  await deploy(apps, "shop", codeOf(["a"]));
  assert.deepEqual(apps.listVariables("shop", "production"), []);
  await apps.close();
});

test("a deploy that is being imported while its app is removed does not bring it back", async () => {
  const { apps, running } = await open();
  await deploy(apps, "shop", codeOf(["a"]));
  const number = await sendDeploy(apps, "shop", codeOf(["b"]));
  running.beforePrepare = () => apps.removeApp("shop");
  await assert.rejects(apps.finishDeploy("shop", number), { code: "DEPLOY_NOT_FOUND" });
  assert.equal(apps.hasApp("shop"), false);
  await apps.close();
});

test("kept are the last deployments, what an alias names and what runs; the rest is removed with its bytes", async () => {
  const { apps, running, files, deployments } = await open();
  const ids: string[] = [];
  for (let index = 0; index < limits.deploymentsKept + 5; index++) {
    const alias = index === 0 ? "old" : "production";
    ids.push((await deploy(apps, "shop", codeOf([`f${index}`]), alias)).deployment);
    if (index !== 2) running.endDrained();
  }
  await apps.collect();
  const kept = [ids[0], ...ids.slice(-limits.deploymentsKept)];
  const listed = apps.listDeployments("shop");
  assert.deepEqual(
    listed.map((each) => each.id),
    kept.toReversed(),
  );
  assert.deepEqual(listed.at(-1)?.aliases, ["old"]);
  assert.deepEqual((await readdir(join(deployments, "shop"))).toSorted(), kept.toSorted());
  assert.equal((await contentsIn(files)).length, kept.length * 2);
  await apps.close();
});

test("a deployment stays as long as something runs from it", async () => {
  const { apps, running, deployments } = await open();
  const first = await deploy(apps, "shop", codeOf(["first"]));
  for (let index = 0; index < limits.deploymentsKept; index++) await deploy(apps, "shop", codeOf([`f${index}`]));
  await apps.collect();
  assert.ok((await readdir(join(deployments, "shop"))).includes(first.deployment));
  running.endDrained();
  await apps.collect();
  assert.ok(!(await readdir(join(deployments, "shop"))).includes(first.deployment));
  await apps.close();
});

test("a deploy that nobody finishes is forgotten with what it sent", async () => {
  const clock = new ManualClock();
  const { apps, files } = await open(clock);
  const number = await sendDeploy(apps, "shop", codeOf(["a"]));
  assert.equal((await contentsIn(files)).length, 1);
  clock.advance(limits.openDeployMs + 1);
  await apps.collect();
  assert.equal((await contentsIn(files)).length, 0);
  await assert.rejects(apps.finishDeploy("shop", number), { code: "DEPLOY_NOT_FOUND" });
  await apps.close();
});

test("an app cannot keep more than so many deploys open", async () => {
  const clock = new ManualClock();
  const { apps } = await open(clock);
  for (let index = 0; index <= limits.openDeploysPerApp; index++) {
    await sendDeploy(apps, "shop", codeOf([`f${index}`]));
    clock.advance(1);
  }
  await assert.rejects(apps.finishDeploy("shop", 1), { code: "DEPLOY_NOT_FOUND" });
  assert.equal((await apps.finishDeploy("shop", 2)).changed, true);
  await apps.close();
});

test("after opening again everything is as it was, and a folder that is gone is made again", async () => {
  const folder = newFolder();
  const meta = openMemoryMetaStore();
  const first = await openTestApps(folder, meta);
  const { deployment } = await deploy(first.apps, "shop", codeOf(["a"]));
  await first.apps.close();
  await rm(join(folder, "deployments"), { recursive: true });
  const { apps, running } = await openTestApps(folder, meta);
  const live = apps.findLive("shop", "production");
  assert.equal(live?.deploymentId, deployment);
  await running.prepare(live);
  assert.equal(apps.getApp("shop").functions, 1);
  await apps.close();
});

test("a beginning is refused when it is not what it should be", async () => {
  const { apps } = await open();
  const good = deployRequest(codeOf(["a"]));
  const table: [string, unknown, string][] = [
    ["Shop", good, "NAME_INVALID"],
    ["shop", null, "REQUEST_INVALID"],
    ["shop", { ...good, alias: "a--b" }, "NAME_INVALID"],
    ["shop", { ...good, runtime: "cobol" }, "REQUEST_INVALID"],
    ["shop", { ...good, entry: "missing.js" }, "REQUEST_INVALID"],
    ["shop", { ...good, config: "{" }, "CONFIG_INVALID"],
    ["shop", { ...good, config: 1 }, "REQUEST_INVALID"],
    ["shop", { ...good, files: [] }, "REQUEST_INVALID"],
  ];
  for (const [app, body, code] of table)
    await assert.rejects(apps.beginDeploy(app, body), { code }, JSON.stringify(body));
  assert.equal(apps.hasApp("shop"), false);
  await apps.close();
});

test("a misspelt app is answered with the one that was meant", async () => {
  const { apps } = await open();
  await deploy(apps, "shop", codeOf(["a"]));
  assert.throws(() => apps.getApp("shpo"), { code: "APP_NOT_FOUND", hint: 'did you mean "shop"?' });
  await apps.close();
});

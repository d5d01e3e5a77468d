import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { limits } from "../contract/limits.ts";
import { codeOf, deploy, openTestApps, sendDeploy } from "./apps.fixture.ts";
import { openMemoryMetaStore } from "./meta/memory-meta-store.ts";

const base = await mkdtemp(join(tmpdir(), "aloft-variables-"));
after(() => rm(base, { recursive: true }));
let folders = 0;
const newFolder = (): string => join(base, String(++folders));
const open = () => openTestApps(newFolder(), openMemoryMetaStore());
const set = (variables: Record<string, string>, unset: string[] = []) => ({ set: variables, unset });

test("a change is prepared and published for what is live, and only its names are shown", async () => {
  const { apps, running } = await open();
  await deploy(apps, "shop", codeOf(["a"]));
  const before = apps.findLive("shop", "production")?.revision;
  const names = await apps.changeVariables("shop", "production", set({ B: "2", A: "1" }));
  assert.deepEqual(
    names.map((each) => Object.keys(each)),
    [
      ["name", "updatedAt"],
      ["name", "updatedAt"],
    ],
  );
  assert.deepEqual(
    names.map((each) => each.name),
    ["A", "B"],
  );
  assert.deepEqual(running.live.get("shop/production")?.variables, { A: "1", B: "2" });
  assert.notEqual(apps.findLive("shop", "production")?.revision, before);
  await apps.changeVariables("shop", "production", set({}, ["A", "NEVER"]));
  assert.deepEqual(running.live.get("shop/production")?.variables, { B: "2" });
  await apps.close();
});

test("a change that changes nothing rolls nothing", async () => {
  const { apps, running } = await open();
  await deploy(apps, "shop", codeOf(["a"]));
  await apps.changeVariables("shop", "production", set({ A: "1" }));
  const prepared = running.prepared.length;
  await apps.changeVariables("shop", "production", set({ A: "1" }));
  assert.equal(running.prepared.length, prepared);
  await apps.close();
});

test("variables belong to one alias and can be set before the first deploy", async () => {
  const { apps } = await open();
  await assert.rejects(apps.changeVariables("shop", "production", set({}, ["A"])), { code: "APP_NOT_FOUND" });
  await apps.changeVariables("shop", "production", set({ A: "1" }));
  assert.deepEqual(apps.getApp("shop").aliases, []);
  await deploy(apps, "shop", codeOf(["a"]));
  await deploy(apps, "shop", codeOf(["a"]), "preview");
  assert.deepEqual(apps.findLive("shop", "production")?.variables, { A: "1" });
  assert.deepEqual(apps.findLive("shop", "preview")?.variables, {});
  await apps.close();
});

test("a change that the code cannot start with is kept for the next deploy while the former values serve", async () => {
  const folder = newFolder();
  const meta = openMemoryMetaStore();
  const { apps, running } = await openTestApps(folder, meta);
  await apps.changeVariables("shop", "production", set({ MODE: "good" }));
  await deploy(apps, "shop", codeOf(["a"], { breaksWith: "MODE=new" }));
  const changing = apps.changeVariables("shop", "production", set({ MODE: "new" }));
  await assert.rejects(changing, {
    code: "FUNCTION_START_FAILED",
    message: "the variables are stored, but what is live still has the former ones: main.json:1: MODE must not be new",
  });
  assert.deepEqual(running.live.get("shop/production")?.variables, { MODE: "good" });
  await apps.close();

  const again = await openTestApps(folder, meta);
  assert.deepEqual(again.apps.findLive("shop", "production")?.variables, { MODE: "good" });
  await deploy(again.apps, "shop", codeOf(["b"]));
  assert.deepEqual(again.apps.findLive("shop", "production")?.variables, { MODE: "new" });
  await again.apps.close();
});

test("after a failed change the next one that works is rolled", async () => {
  const { apps, running } = await open();
  await deploy(apps, "shop", codeOf(["a"], { breaksWith: "MODE=bad" }));
  await assert.rejects(apps.changeVariables("shop", "production", set({ MODE: "bad" })), {
    code: "FUNCTION_START_FAILED",
  });
  await apps.changeVariables("shop", "production", set({ MODE: "good" }));
  assert.deepEqual(running.live.get("shop/production")?.variables, { MODE: "good" });
  await apps.close();
});

test("a deploy that was imported with values that changed meanwhile is imported again", async () => {
  const { apps, running } = await open();
  const number = await sendDeploy(apps, "shop", codeOf(["a"]));
  let first = true;
  running.beforePrepare = async () => {
    if (!first) return;
    first = false;
    await apps.changeVariables("shop", "production", set({ A: "late" }));
  };
  await apps.finishDeploy("shop", number);
  assert.deepEqual(running.live.get("shop/production")?.variables, { A: "late" });
  assert.deepEqual(
    running.prepared.map((live) => live.variables),
    [{}, { A: "late" }],
  );
  await apps.close();
});

test("what aloft.json requires must be set before the deploy and cannot be unset after it", async () => {
  const { apps, running } = await open();
  const needing = { ...codeOf(["a"]), "aloft.json": '{ "variables": ["KEY"] }' };
  await assert.rejects(deploy(apps, "shop", needing), { code: "VARIABLE_MISSING" });
  await apps.changeVariables("shop", "production", set({ KEY: "1", OTHER: "2" }));
  await deploy(apps, "shop", needing);
  assert.equal(running.described.at(-1), "shop KEY,OTHER");
  await assert.rejects(apps.changeVariables("shop", "production", set({}, ["KEY"])), { code: "VARIABLE_MISSING" });
  assert.equal(apps.listVariables("shop", "production").length, 2);
  await apps.close();
});

test("names and sizes are held to their limits", async () => {
  const { apps } = await open();
  const table: [Record<string, string>, string[], string][] = [
    [{ ALOFT_X: "1" }, [], "VARIABLE_RESERVED"],
    [{ LD_PRELOAD: "1" }, [], "VARIABLE_RESERVED"],
    [{ AWS_LAMBDA_X: "1" }, [], "VARIABLE_RESERVED"],
    [{ "a-b": "1" }, [], "NAME_INVALID"],
    [{ "1A": "1" }, [], "NAME_INVALID"],
    [{ "": "1" }, [], "NAME_INVALID"],
    [{ A: "1" }, ["A"], "REQUEST_INVALID"],
    [{ A: "a\0b" }, [], "REQUEST_INVALID"],
    [{ A: "x".repeat(limits.variableBytes + 1) }, [], "REQUEST_INVALID"],
    [
      Object.fromEntries(Array.from({ length: limits.variables + 1 }, (_, index) => [`V${index}`, ""])),
      [],
      "REQUEST_INVALID",
    ],
    [
      Object.fromEntries(Array.from({ length: 9 }, (_, index) => [`V${index}`, "x".repeat(60_000)])),
      [],
      "REQUEST_INVALID",
    ],
  ];
  for (const [variables, unset, code] of table) {
    await assert.rejects(apps.changeVariables("shop", "production", set(variables, unset)), { code });
  }
  assert.equal(apps.hasApp("shop"), false);
  await apps.changeVariables("shop", "production", set({ A: "x".repeat(limits.variableBytes) }));
  await apps.close();
});

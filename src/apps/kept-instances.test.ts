import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { codeOf, deploy, openTestApps } from "./apps.fixture.ts";
import { openMemoryMetaStore } from "./meta/memory-meta-store.ts";

const folder = await mkdtemp(join(tmpdir(), "aloft-apps-"));
after(() => rm(folder, { recursive: true }));

test("a restart finds what keeps instances by the rows of what is live, and nothing else", async () => {
  const meta = openMemoryMetaStore();
  const keeps = { "aloft.json": '{ "defaults": { "minInstances": 1 } }' };
  const before = await openTestApps(folder, meta);
  await deploy(before.apps, "sleeps", codeOf(["hello"]));
  await deploy(before.apps, "keeps", { ...codeOf(["hello"]), ...keeps });
  await deploy(before.apps, "keeps", { ...codeOf(["hello"]), ...keeps }, "preview");
  await deploy(before.apps, "kept", { ...codeOf(["hello"]), ...keeps });
  await deploy(before.apps, "kept", codeOf(["hello"]));
  await before.apps.close();

  const { apps } = await openTestApps(folder, meta);
  const found = apps.liveThatKeeps().map(({ app, alias }) => `${app}@${alias}`);
  assert.deepEqual(found, ["keeps@preview", "keeps@production"]);
  await apps.rollback("kept", { alias: "production" });
  assert.equal(apps.liveThatKeeps().length, 3);
  await apps.close();
});

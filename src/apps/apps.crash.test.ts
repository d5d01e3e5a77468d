import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { contentHash, openTestApps } from "./apps.fixture.ts";
import { openDataFolder } from "./data-folder.ts";
import { systemClock } from "../lib/clock.ts";
import { openSqliteKeyspace } from "../store/sqlite/sqlite-keyspace.ts";
import { openKeyspaceMetaStore } from "./meta/keyspace-meta-store.ts";

const base = await mkdtemp(join(tmpdir(), "aloft-crash-"));
after(() => rm(base, { recursive: true }));

/** What the child said of one app: what was acknowledged last, and what was under way when it was killed. */
interface Said {
  live: string;
  deploying: string;
  set: string;
  setting: string;
}

test("kill -9 at any point of a deploy leaves the old or the new state, whole, and everything acknowledged", async () => {
  const said = new Map<string, Said>();
  let begin = 1;
  for (let round = 0; round < 8; round++) {
    // Each round is killed some lines later than the one before, and wherever the child is then.
    const lines = await runAndKill(join(base, "data"), begin, 2 + round * 5);
    for (const line of lines) begin = Math.max(begin, hear(said, line) + 1);
    await assertWhole(said);
  }
  assert.deepEqual([...said.keys()].toSorted(), ["one", "two"]);
});

async function runAndKill(folder: string, begin: number, linesMax: number): Promise<string[]> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "apps.child.ts"), folder, String(begin)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  for await (const chunk of child.stdout.setEncoding("utf8")) {
    text += String(chunk);
    if (text.split("\n").length > linesMax) child.kill("SIGKILL");
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  assert.equal(child.signalCode, "SIGKILL", "the child must be killed, not fail");
  return text.split("\n").slice(0, -1);
}

/** The answer is the number of the step. */
function hear(all: Map<string, Said>, line: string): number {
  const [app = "", verb = "", value = ""] = line.split(" ");
  const said = all.get(app) ?? { live: "", deploying: "", set: "", setting: "" };
  all.set(app, { ...said, [verb]: value });
  return Number(value.replace("f", ""));
}

async function assertWhole(said: ReadonlyMap<string, Said>): Promise<void> {
  const data = await openDataFolder(join(base, "data"));
  const keyspace = await openSqliteKeyspace({ file: data.keyspaceFile, clock: systemClock, reserveBytes: 0 });
  const meta = await openKeyspaceMetaStore(keyspace);
  const { apps, files, deployments } = await openTestApps(data.root, meta);
  for (const [app, { live: acknowledged, deploying, set, setting }] of said) {
    const live = apps.findLive(app, "production");
    const name = live?.manifest.functions[0]?.name ?? "";
    assert.ok(
      name === acknowledged || name === deploying,
      `${app}: ${name} is live, not ${acknowledged} or ${deploying}`,
    );
    const step = live?.variables["STEP"] ?? "";
    assert.ok(step === set || step === setting, `${app}: STEP is ${step}, not ${set} or ${setting}`);
    for (const file of live?.manifest.files ?? []) {
      assert.equal(contentHash(await readFile(join(live?.root ?? "", file.path), "utf8")), file.hash);
    }
  }
  await apps.collect();
  await assertNothingElse(files, deployments, apps.appNames(), (app) =>
    apps.listDeployments(app).map((each) => each.id),
  );
  await apps.close();
  await meta.close();
  await keyspace.close();
  data.close();
}

/** Exactly the folders of the deployments that are listed, and exactly the contents of those and their manifests. */
async function assertNothingElse(
  files: string,
  deployments: string,
  apps: readonly string[],
  idsOf: (app: string) => readonly string[],
): Promise<void> {
  const contents = new Set<string>();
  for (const app of await readdir(deployments)) {
    if (app === ".tmp") continue;
    for (const id of await readdir(join(deployments, app))) {
      assert.ok(apps.includes(app) && idsOf(app).includes(id), `the folder ${app}/${id} has no row`);
      for (const entry of await readdir(join(deployments, app, id), { recursive: true, withFileTypes: true })) {
        if (entry.isFile()) contents.add(contentHash(await readFile(join(entry.parentPath, entry.name), "utf8")));
      }
    }
  }
  const found = (await readdir(files, { recursive: true })).filter((name) => /^..\/[0-9a-f]{64}$/.test(name));
  const held = new Set(found.map((name) => name.slice(3)));
  for (const hash of contents) assert.ok(held.has(hash), `the content ${hash} is missing`);
  const manifests = [...held].filter((hash) => !contents.has(hash));
  for (const hash of manifests) {
    const text = await readFile(join(files, hash.slice(0, 2), hash), "utf8");
    assert.match(text, /^{"format":1,/, `the content ${hash} belongs to nothing`);
  }
  assert.ok(manifests.length <= apps.flatMap(idsOf).length, "there are manifests of no deployment");
}

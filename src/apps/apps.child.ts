/**
 * The program that the crash test kills: opens the data folder given and, until it is killed, deploys two apps, changes
 * their variables, rolls them back and removes a third app; prints one line before and after each step.
 */
import { writeSync } from "node:fs";
import { codeOf, deploy, openTestApps } from "./apps.fixture.ts";
import { openDataFolder } from "./data-folder.ts";
import { systemClock } from "../lib/clock.ts";
import { openSqliteKeyspace } from "../store/sqlite/sqlite-keyspace.ts";
import { openKeyspaceMetaStore } from "./meta/keyspace-meta-store.ts";

const data = await openDataFolder(process.argv[2] ?? "");
// Merged all the time, so that a kill meets every state of the file.
const keyspace = await openSqliteKeyspace({
  file: data.keyspaceFile,
  clock: systemClock,
  reserveBytes: 0,
  unmergedEntries: 4,
  idleMs: 1,
});
const meta = await openKeyspaceMetaStore(keyspace);
const { apps, running } = await openTestApps(data.root, meta);
const begin = Number(process.argv[3]);

await Promise.all(["one", "two"].map(work));

async function work(app: string): Promise<void> {
  for (let step = begin; ; step++) {
    // Files come and go with every deployment, and one is common to all of both apps.
    const folder = { ...codeOf([`f${step}`]), "common.txt": "common", [`dir/${step % 3}.txt`]: `${app} ${step}` };
    say(`${app} deploying f${step}`);
    await deploy(apps, app, folder);
    say(`${app} live f${step}`);
    say(`${app} setting ${step}`);
    await apps.changeVariables(app, "production", { set: { STEP: String(step) }, unset: [] });
    say(`${app} set ${step}`);
    // Only to what this very run has deployed: the name of what an earlier run left last is not known here.
    if (step % 5 === 4 && step > begin) {
      say(`${app} deploying f${step - 1}`);
      await apps.rollback(app, { alias: "production" });
      say(`${app} live f${step - 1}`);
    }
    if (step % 4 === 3) {
      await deploy(apps, `${app}-short`, folder);
      await apps.removeApp(`${app}-short`);
    }
    running.endDrained();
  }
}

function say(line: string): void {
  writeSync(1, `${line}\n`);
}

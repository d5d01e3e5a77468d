import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { loadSettings, readCommandEnvironment, settingNames, settingsMarkdown, settingsTable } from "./config.ts";
import type { SettingsInput } from "./config.ts";

let folder = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "aloft-config-"));
});
after(() => rm(folder, { recursive: true }));

function load(input: SettingsInput): ReturnType<typeof loadSettings> {
  return loadSettings({ env: { ALOFT_DATA_DIR: folder }, folder, ...input });
}

async function settingsFile(name: string, text: string): Promise<string> {
  await writeFile(join(folder, name), text);
  return join(folder, name);
}

test("without anything set every setting has its default", async () => {
  const { memoryBudgetBytes, ...settings } = await loadSettings({ env: {} });
  assert.deepEqual(settings, {
    dataDir: join(homedir(), ".local/share/aloft"),
    host: "127.0.0.1",
    port: 8787,
    adminPort: 8788,
    sandbox: "auto",
    sandboxNetwork: "internet",
    sandboxSubnet: { first: 0xc612_0000, bits: 16 },
    sandboxResolver: null,
    sandboxIds: { first: 1_879_048_192, count: 65_536 },
    python: null,
    baseDomain: "localhost",
    defaultApp: null,
    adminToken: null,
    maxBodyBytes: 104_857_600,
    waitForInstanceMs: 10_000,
    zygotes: 2,
    zygotesMax: 8,
    recordRetentionMs: 604_800_000,
    logRetentionMs: 604_800_000,
    trustProxy: false,
    logFormat: "text",
  });
  assert.ok(Number.isSafeInteger(memoryBudgetBytes) && memoryBudgetBytes > 0);
});

test("a flag is over the environment, that over the file, that over the default", async () => {
  const configFile = await settingsFile("order.json", `{ "port": 1, "adminPort": 2, "host": "::1", /* why */ }`);
  const settings = await load({ configFile, env: { ALOFT_PORT: "3", ALOFT_ADMIN_PORT: "4" }, flags: { port: "5" } });
  assert.deepEqual([settings.port, settings.adminPort, settings.host, settings.zygotes], [5, 4, "::1", 2]);
});

test("an empty variable counts as not set", async () => {
  assert.equal((await load({ env: { ALOFT_PORT: "" } })).port, 8787);
});

test("the file of the data folder is read when there is one", async () => {
  const file = await settingsFile(
    "aloft.config.json",
    `{ "waitForInstanceMs": 1500, "maxBodyBytes": "1GiB", "trustProxy": true }`,
  );
  const settings = await load({});
  assert.deepEqual([settings.waitForInstanceMs, settings.maxBodyBytes, settings.trustProxy], [1500, 1024 ** 3, true]);
  await rm(file);
});

test("paths are relative to where they were written", async () => {
  const configFile = await settingsFile("paths.json", `{ "dataDir": "kept" }`);
  assert.equal((await loadSettings({ env: {}, folder: "/", configFile })).dataDir, join(folder, "kept"));
  assert.equal((await loadSettings({ env: { ALOFT_DATA_DIR: "here" }, folder })).dataDir, join(folder, "here"));
});

test("a value that is not allowed is refused with setting, value, source and what is allowed", async () => {
  const table: [SettingsInput, RegExp][] = [
    [
      { env: { ALOFT_PORT: "99999" } },
      /^setting port has the value "99999" from the variable ALOFT_PORT; allowed is a whole number from 0 to 65535$/,
    ],
    [
      { flags: { sandbox: "docker" } },
      /^setting sandbox has the value "docker" from the flag --sandbox; allowed is auto, oci or process$/,
    ],
    [
      { flags: { waitForInstanceMs: "10" } },
      /"10" from the flag --wait-for-instance; allowed is a duration from 0s to 15m/,
    ],
    [{ flags: { maxBodyBytes: "lots" } }, /maxBodyBytes.*"lots".*a size from 1KiB to 1TiB/],
    [{ flags: { memoryBudgetBytes: "120%" } }, /memoryBudgetBytes.*"120%"/],
    [{ flags: { baseDomain: "Example.com:80" } }, /baseDomain/],
    [{ flags: { host: "not a host" } }, /host/],
    [{ flags: { defaultApp: "a--b" } }, /defaultApp/],
    [{ flags: { trustProxy: "yes" } }, /trustProxy.*true or false/],
    [{ flags: { zygotes: "20" } }, /^setting zygotes has the value "20" .* at most zygotesMax, which is 8$/],
    [
      { configFile: await settingsFile("type.json", `{ "port": [1] }`) },
      /setting port has the value \[1\] from .*type\.json/,
    ],
    [{ configFile: await settingsFile("broken.json", `{\n "port": }`) }, /broken\.json is not JSON: \w+ in line 2/],
    [{ configFile: await settingsFile("list.json", `[]`) }, /holds no object/],
    [{ configFile: "/nowhere/at/all.json" }, /all\.json cannot be read: ENOENT/],
  ];
  for (const [input, message] of table) {
    await assert.rejects(load(input), { code: "SETTING_INVALID", message }, String(message));
  }
});

test("a refused token is not shown", async () => {
  await assert.rejects(
    load({ env: { ALOFT_ADMIN_TOKEN: "short" } }),
    (error: Error) => !error.message.includes("short"),
  );
});

test("a misspelt key of the file is refused with the one that was meant", async () => {
  const configFile = await settingsFile("misspelt.json", `{ "adminport": 1 }`);
  await assert.rejects(load({ configFile }), { code: "SETTING_INVALID", hint: "did you mean adminPort?" });
});

test("the file of the data folder cannot move the data folder", async () => {
  const file = await settingsFile("aloft.config.json", `{ "dataDir": "elsewhere" }`);
  await assert.rejects(load({}), { code: "SETTING_INVALID", message: /dataDir is set in/ });
  await rm(file);
});

test("every setting has flag and variable of its own, and a line in the docs", () => {
  const flags = settingNames.flatMap((name) => settingsTable[name].flag ?? []);
  assert.equal(new Set(flags).size, settingNames.length - 1);
  assert.equal(new Set(settingNames.map((name) => settingsTable[name].env)).size, settingNames.length);
  const docs = settingsMarkdown();
  for (const name of settingNames) assert.match(docs, new RegExp(`^\\| \`${name}\` \\|`, "m"));
});

test("colours are the terminal's choice unless the environment says", () => {
  assert.equal(readCommandEnvironment({}).colour, null);
  assert.equal(readCommandEnvironment({ NO_COLOR: "1", FORCE_COLOR: "1" }).colour, false);
  assert.equal(readCommandEnvironment({ TERM: "dumb" }).colour, false);
  assert.equal(readCommandEnvironment({ FORCE_COLOR: "1" }).colour, true);
});

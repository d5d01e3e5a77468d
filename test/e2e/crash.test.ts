/** What befalls the server itself: ports, folders and disks that are not to be had, and being killed at any moment. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, test } from "node:test";
import { journalOf } from "../../src/apps/meta/journal.fixture.ts";
import { openKeyspaceMetaStore } from "../../src/apps/meta/keyspace-meta-store.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { openSqliteKeyspace } from "../../src/store/sqlite/sqlite-keyspace.ts";
import { type AloftProcess, type FailedStart, guestsOf, serve, served } from "../kit/aloft-process.ts";
import { lastFirst, type Scope } from "../kit/scope.ts";
import { temporaryFolder } from "../kit/server.ts";
import { until } from "../kit/until.ts";

function appSaying(text: string): string {
  return `export default { fetch: () => new Response(${JSON.stringify(text)}) };`;
}

function refusal(started: AloftProcess | FailedStart, code: string, says: RegExp): void {
  assert.ok("code" in started, "it started");
  assert.equal(started.code, 1, started.err);
  const text = started.out + started.err;
  assert.match(text, new RegExp(code));
  assert.match(text, says);
  assert.doesNotMatch(text, /\n\s+at /, "a stack was printed");
}

/** Ends with the test, whatever came of it. */
function endsWith(scope: Scope, server: AloftProcess): AloftProcess {
  scope.after(() => server.kill("SIGTERM"));
  return server;
}

async function answer(server: AloftProcess, app: string): Promise<string> {
  return await (await server.fetch(app, "/")).text();
}

describe("a server does not start, and says why,", { concurrency: 2 }, () => {
  test("when a port is taken", async (t) => {
    const scope = lastFirst(t);
    const folder = await temporaryFolder(scope);
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    scope.after(() => void other.close());
    const port = String((other.address() as AddressInfo).port);
    for (const flag of ["--port", "--admin-port"]) {
      refusal(await serve(join(folder, "data"), flag, port), "PORT_IN_USE", new RegExp(port));
    }
    // What it had opened by then is given back: the folder can be used at once, and no process was left.
    assert.deepEqual(await guestsOf(join(folder, "data")), []);
    const server = endsWith(scope, await served(join(folder, "data")));
    assert.deepEqual((await server.client.status()).apps, 0);
  });

  test("when a file stands where the data folder should be", async (t) => {
    const scope = lastFirst(t);
    const folder = await temporaryFolder(scope, { data: "a file" });
    refusal(await serve(join(folder, "data")), "DATA_UNWRITABLE", /is not a folder/);
    refusal(await serve(join(folder, "data", "inside")), "DATA_UNWRITABLE", /is not a folder/);
  });

  test("when the data folder cannot be written", async (t) => {
    const scope = lastFirst(t);
    const folder = await temporaryFolder(scope, { "data/here": "" });
    const mounted = mountAt(scope, join(folder, "data"), "ro");
    if (mounted !== null) return t.skip(mounted);
    refusal(await serve(join(folder, "data")), "DATA_UNWRITABLE", /cannot be written/);
  });

  test("when the keyspace is damaged or of a newer version, and leaves it alone", async (t) => {
    const scope = lastFirst(t);
    const folder = await temporaryFolder(scope, { "damaged/keyspace.db": "not a database ".repeat(1000) });
    refusal(await serve(join(folder, "damaged")), "DATA_CORRUPT", /keyspace\.db is damaged.*restore/s);
    assert.match(await readFile(join(folder, "damaged", "keyspace.db"), "utf8"), /^not a database/);
    await (await served(join(folder, "newer"))).kill("SIGTERM");
    const db = new DatabaseSync(join(folder, "newer", "keyspace.db"));
    db.exec("PRAGMA user_version = 99");
    db.close();
    refusal(await serve(join(folder, "newer")), "DATA_TOO_NEW", /keyspace\.db has format 99/);
  });

  test("when another server has the data folder", async (t) => {
    const scope = lastFirst(t);
    const folder = await temporaryFolder(scope, { "app/index.ts": appSaying("the first server") });
    const first = endsWith(scope, await served(join(folder, "data")));
    await first.deploy(join(folder, "app"));
    refusal(await serve(join(folder, "data")), "DATA_LOCKED", new RegExp(`process ${first.child.pid}`));
    assert.equal(await answer(first, "app"), "the first server");
    // The second one's attempt has not ended the first one's instances.
    assert.ok((await guestsOf(join(folder, "data"))).length > 0);
    await first.kill("SIGTERM");
    const second = endsWith(scope, await served(join(folder, "data")));
    assert.equal(await answer(second, "app"), "the first server");
  });
});

test("on a full disk a deploy is refused, what is live serves on, and deploys work again when there is room", async (t) => {
  const scope = lastFirst(t);
  const folder = await temporaryFolder(scope, {
    "app/index.ts": appSaying("before"),
    "app/aloft.json": `{ "files": ["ballast"] }`,
    "app/ballast": "",
  });
  const data = join(folder, "data");
  await mkdir(data);
  const mounted = mountAt(scope, data, "size=256m");
  if (mounted !== null) return t.skip(mounted);
  const server = endsWith(scope, await served(data));
  await server.deploy(join(folder, "app"));
  assert.equal(await answer(server, "app"), "before");

  await writeFile(join(folder, "app", "index.ts"), appSaying("after"));
  await writeFile(join(folder, "app", "ballast"), randomBytes(2 * 1024 * 1024));
  await fillDisk(join(data, "filler"));
  await assert.rejects(server.deploy(join(folder, "app")), (error: Error & { code?: string }) => {
    assert.equal(error.code, "DISK_FULL", error.message);
    return true;
  });
  for (let request = 0; request < 20; request += 1) assert.equal(await answer(server, "app"), "before");
  // More than the room that the store's own files may have left in them.
  const long = Object.fromEntries(["A", "B", "C", "D", "E", "F", "G"].map((name) => [name, "x".repeat(60_000)]));
  await assert.rejects(server.client.changeVariables("app", "production", { set: long }), { code: "DISK_FULL" });

  await rm(join(data, "filler"));
  await server.deploy(join(folder, "app"));
  assert.equal(await answer(server, "app"), "after");
});

test("on a full disk sends and writes are refused, what was accepted is safe and handled, and service goes on when there is room", async (t) => {
  const scope = lastFirst(t);
  const folder = await temporaryFolder(scope, { "app/index.ts": orders });
  const data = join(folder, "data");
  await mkdir(data);
  const mounted = mountAt(scope, data, "size=256m");
  if (mounted !== null) return t.skip(mounted);
  const server = endsWith(scope, await served(data));
  await server.deploy(join(folder, "app"));
  const client = new OrdersClient(server);
  assert.equal(await client.send(), "sent");
  await until("that it is handled", async () => (await client.handled()) === 1);
  await server.client.postQueue(client.place, "pause");

  await fillDisk(join(data, "filler"));
  // The keyspace keeps some room in its files: it is used up first.
  await until("that a send is refused", async () => (await client.send(100_000)) === "DISK_FULL");
  assert.equal(await client.put(), "DISK_FULL");
  assert.equal(await client.putBlob(2_000_000), "DISK_FULL");
  // Reading, and what makes room, goes on.
  assert.equal(await client.handled(), 1);
  assert.equal((await server.fetch("app", "/gone", { method: "DELETE" })).status, 200);

  // Killed in this state, it starts again and has all that it said it had.
  await server.kill("SIGKILL");
  const again = endsWith(scope, await served(data));
  const after = new OrdersClient(again);
  await until("that a send is refused", async () => (await after.send(100_000)) === "DISK_FULL");
  await rm(join(data, "filler"));
  await until("that a send is accepted", async () => (await after.send()) === "sent");
  await again.client.postQueue(after.place, "resume");
  const sent = client.sent + after.sent;
  await until(`${sent} are handled`, async () => (await after.handled()) === sent);
});

const orders = `import { blob, http, kv, queue } from "aloft";
const state = kv("state");
const files = blob("files");
const orders = queue("orders", () => state.increment("handled", 1));
export { orders };
const told = async (work) => {
  try {
    await work();
    return new Response("sent");
  } catch (error) {
    return new Response(error.code ?? String(error));
  }
};
export const send = http("POST /send", async (request) => {
  const text = await request.text();
  return await told(() => orders.send({ text }));
});
export const put = http("PUT /kv", (request) => told(async () => state.set("value", await request.text())));
export const putBlob = http("PUT /blob", (request) => told(() => files.put("blob", request.body)));
export const gone = http("DELETE /gone", () => told(() => state.delete("value")));
export const handled = http("GET /handled", async () => Response.json((await state.get("handled")) ?? 0));`;

class OrdersClient {
  readonly place = { app: "app", alias: "production", queue: "orders" };
  readonly #server: AloftProcess;
  /** As it was acknowledged. */
  sent = 0;

  constructor(server: AloftProcess) {
    this.#server = server;
  }

  /** "sent", or the code of the refusal. */
  async send(bytes = 10): Promise<string> {
    const told = await this.#ask("POST", "/send", bytes);
    if (told === "sent") this.sent += 1;
    return told;
  }

  put(): Promise<string> {
    return this.#ask("PUT", "/kv", 100_000);
  }

  putBlob(bytes: number): Promise<string> {
    return this.#ask("PUT", "/blob", bytes);
  }

  async handled(): Promise<number> {
    return (await (await this.#server.fetch("app", "/handled")).json()) as number;
  }

  async #ask(method: string, path: string, bytes: number): Promise<string> {
    return await (await this.#server.fetch("app", path, { method, body: "x".repeat(bytes) })).text();
  }
}

test("a data folder of the format before the keyspace is taken over, and its former version refuses it then", async (t) => {
  const scope = lastFirst(t);
  const folder = await temporaryFolder(scope, { "app/index.ts": appSaying("as before") });
  const data = join(folder, "data");
  const before = await served(data);
  await before.deploy(join(folder, "app"));
  await before.kill("SIGTERM");
  const keyspace = await openSqliteKeyspace({ file: join(data, "keyspace.db"), clock: systemClock });
  const rows = (await openKeyspaceMetaStore(keyspace)).list("");
  await keyspace.close();
  for (const ending of ["", "-wal", "-shm"]) await rm(join(data, `keyspace.db${ending}`), { force: true });
  await mkdir(join(data, "meta"));
  await writeFile(join(data, "meta", "meta.journal"), journalOf([rows]));
  await writeFile(join(data, "format.json"), '{"format":1}');

  for (let start = 0; start < 2; start += 1) {
    const server = endsWith(scope, await served(data));
    assert.equal(await answer(server, "app"), "as before");
    await server.kill("SIGTERM");
    assert.equal(existsSync(join(data, "meta")), false);
    assert.equal(await readFile(join(data, "format.json"), "utf8"), '{"format":2}\n');
  }
});

test("a server that is killed while apps are deployed has every deploy that it acknowledged", async (t) => {
  const scope = lastFirst(t);
  const folder = await temporaryFolder(scope);
  const data = join(folder, "data");
  /** What each app answered with when its last deploy was acknowledged, and what the one in flight would answer with. */
  const acknowledged = new Map<string, string>();
  const attempted = new Map<string, string>();
  let version = 0;

  async function deployOn(server: AloftProcess, app: string): Promise<void> {
    for (;;) {
      const text = `${app} ${(version += 1)}`;
      await mkdir(join(folder, app), { recursive: true });
      await writeFile(join(folder, app, "index.ts"), appSaying(text));
      attempted.set(app, text);
      await server.deploy(join(folder, app));
      acknowledged.set(app, text);
    }
  }

  for (let round = 1; round <= 3; round += 1) {
    const server = endsWith(scope, await served(data));
    const before = version;
    const deploying = ["one", "two", "three"].map((app) => deployOn(server, app).catch(() => {}));
    // Somewhere in the middle of a deploy: the further rounds at other moments than the first.
    await until("some deploys", () => version >= before + 4 + round);
    await server.kill();
    await Promise.all(deploying);
  }

  const server = endsWith(scope, await served(data));
  assert.ok(acknowledged.size === 3);
  for (const [app, text] of acknowledged) {
    const found = await answer(server, app);
    assert.ok(
      found === text || found === attempted.get(app),
      `${app} answers "${found}" after "${text}" was acknowledged`,
    );
    const [alias] = (await server.client.listApps()).find((one) => one.name === app)?.aliases ?? [];
    assert.equal(alias?.name, "production");
    // And it can be deployed on top of.
    await writeFile(join(folder, app, "index.ts"), appSaying(`${app} again`));
    await server.deploy(join(folder, app));
    assert.equal(await answer(server, app), `${app} again`);
  }
});

test("a server that is killed under load leaves no process behind, and its successor serves at once", async (t) => {
  const scope = lastFirst(t);
  const folder = await temporaryFolder(scope, {
    "busy/index.ts": `import { http } from "aloft";
      export const work = http("/work", async () => { await new Promise((resolve) => setTimeout(resolve, 5)); return new Response("worked"); });
      export const block = http("/block", { timeout: "10m" }, () => { console.log("blocking"); for (;;); });`,
  });
  const data = join(folder, "data");
  const first = endsWith(scope, await served(data));
  await first.deploy(join(folder, "busy"));
  await first.client.changeVariables("busy", "production", { set: { COLOUR: "green" } });

  // One that blocks for ever does not see that its socket was closed: the next server has to end it.
  void first.fetch("busy", "/block").catch(() => {});
  await until("that it blocks", async () => {
    return (await first.client.listLogs("busy", {})).some((line) => line.message === "blocking");
  });
  let answered = 0;
  const loading = Array.from({ length: 16 }, async () => {
    for (;;) {
      const response = await first.fetch("busy", "/work").catch(() => null);
      if (response === null) return;
      assert.equal(response.status, 200);
      await response.text().catch(() => "");
      answered += 1;
    }
  });
  await until("load", () => answered > 200);
  const left = await guestsOf(data);
  assert.ok(left.length >= 2);
  await first.kill();
  await Promise.all(loading);

  const second = endsWith(scope, await served(data));
  await until("the end of the former processes", async () => {
    const now = await guestsOf(data);
    return !left.some((pid) => now.includes(pid));
  });
  assert.equal(await (await second.fetch("busy", "/work")).text(), "worked");
  const variables = await second.client.listVariables("busy", "production");
  assert.deepEqual(
    variables.map((one) => one.name),
    ["COLOUR"],
  );
  // Records may lose the last second, not more: those of the first requests are there.
  assert.ok((await second.client.listInvocations("busy", { limit: 1000 })).some((one) => one.function === "work"));

  const before = await guestsOf(data);
  await second.kill("SIGTERM");
  await until("that an orderly end leaves nobody", async () =>
    (await guestsOf(data)).every((pid) => !before.includes(pid)),
  );
});

/** Puts a small file system there until the test has ended; else why that cannot be. */
function mountAt(scope: Scope, folder: string, options: string): string | null {
  if (process.getuid?.() !== 0) return "only root can mount a file system";
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", folder], { stdio: "pipe" });
  } catch (error) {
    return `no file system can be mounted here: ${(error as Error).message}`;
  }
  scope.after(() => void execFileSync("umount", ["-l", folder], { stdio: "pipe" }));
  return null;
}

async function fillDisk(file: string): Promise<void> {
  for (let chunk = 1024 * 1024; chunk >= 1; chunk = Math.floor(chunk / 4)) {
    for (;;) {
      try {
        await writeFile(file, Buffer.alloc(chunk), { flag: "a" });
      } catch {
        break;
      }
    }
  }
}

import assert from "node:assert/strict";
import { test } from "node:test";
import type { LiveDeployment, Program } from "../contract/deployment.ts";
import { limits } from "../contract/limits.ts";
import { FrameType } from "../wire/frames.ts";
import { liveOf, TestPool, turns, until } from "./pool.fixture.ts";

function programOf(runtime: Program["runtime"], over: Partial<Program> = {}): Program {
  return { runtime, handler: "", command: [], ready: null, ...over };
}

/** An app whose functions are Node's `f` and one of a program. */
function liveWith(program: Program, variables: Record<string, string> = {}): LiveDeployment {
  const live = liveOf();
  const [f] = live.manifest.functions;
  assert.ok(f !== undefined);
  return {
    ...live,
    variables,
    manifest: {
      ...live.manifest,
      functions: [f, { ...f, name: "own", style: "server", group: "own", program }],
      groups: [...live.manifest.groups, { name: "own", limits: { ...f.limits, concurrency: 3 }, program }],
    },
  };
}

test("each group has the guest of its runtime, which learns what it is to run", async (t) => {
  const it = await TestPool.open(t);
  const python = liveWith(programOf("python", { handler: "app.handler" }));
  it.submit(it.pool.group(python, "own"));
  await until(() => it.guest.assigned !== null);
  const { spec, assigned } = it.guest;
  assert.deepEqual(spec.argv, ["/python3", "-s", "-B", "-u", "/guest/main.py"]);
  assert.equal(spec.env["PYTHONHOME"], "/usr");
  assert.partialDeepStrictEqual(assigned?.program, { runtime: "python", handler: "app.handler", concurrency: 3 });
  assert.deepEqual(
    assigned?.functions.map(({ name, handler }) => [name, handler]),
    [
      ["f", undefined],
      ["own", "app.handler"],
    ],
  );
  it.submit(it.pool.group(python, "http"));
  await until(() => it.guests[1]?.assigned !== null);
  assert.equal(it.guests[1]?.spec.argv[0], "/node");
  assert.equal(it.guests[1]?.spec.argv.at(-1), "/guest");
  assert.equal(it.guests[1]?.assigned?.program, undefined);
  assert.deepEqual(
    it.pool.status().groups.map(({ group, runtime }) => [group, runtime]),
    [
      ["own", "python"],
      ["http", "node"],
    ],
  );
});

test("a program's companion gets its variables with its deployment, Python those that only a start can read", async (t) => {
  const it = await TestPool.open(t);
  const variables = { NODE_OPTIONS: "--trace-gc", PYTHONHASHSEED: "1" };
  it.submit(it.pool.group(liveWith(programOf("command", { command: ["./server"] }), variables), "own"));
  await until(() => it.guest.assigned !== null);
  assert.equal(it.guest.spec.argv.at(-1), "/companion");
  assert.equal(it.guest.spec.env["NODE_OPTIONS"], undefined);
  assert.deepEqual(it.guest.assigned?.variables, variables);
  const python = { ...liveWith(programOf("python"), variables), revision: "python" };
  it.submit(it.pool.group(python, "own"));
  await until(() => it.guests.length === 2);
  assert.equal(it.guests[1]?.spec.env["PYTHONHASHSEED"], "1");
});

test("an instance with something to do at its end is told, ends by itself, and is killed when it does not", async (t) => {
  const it = await TestPool.open(t);
  const live = liveWith(programOf("command", { command: ["./server"] }));
  for (const heeds of [true, false]) {
    const group = it.pool.group({ ...live, revision: `heeds ${heeds}` }, "own");
    const { exchange, guest } = await it.running(group);
    guest.answer(1);
    await until(() => exchange.outcome === "ok");
    group.retire();
    await until(() => guest.all(FrameType.drain).length > 0);
    assert.equal(guest.wasKilled, false);
    if (heeds) guest.die({ code: 0, signal: null });
    else {
      await it.advance(limits.stopGraceMs - 1000, 1000);
      assert.equal(guest.wasKilled, false);
      await it.advance(2000, 1000);
      assert.equal(guest.wasKilled, true);
    }
    await until(() => group.instances.length === 0);
    // It ended as it was asked to: nobody has to hear of a crash.
    assert.equal(group.status().lastError, "");
  }
  assert.deepEqual(
    it.logs.map(({ message }) => message),
    [],
  );
});

test("close tells them too, and does not wait longer than their grace", async (t) => {
  const it = await TestPool.open(t);
  const live = liveWith(programOf("command", { command: ["./server"] }));
  const { exchange, guest } = await it.running(it.pool.group(live, "own"));
  guest.answer(1);
  await until(() => exchange.outcome === "ok");
  const closed = it.pool.close(0);
  await until(() => guest.all(FrameType.drain).length > 0);
  assert.equal(guest.wasKilled, false);
  it.clock.advance(limits.stopGraceMs);
  await closed;
  assert.equal(guest.wasKilled, true);
  await turns();
  assert.equal(it.sandbox.living.length, 0);
});

test("of each runtime that was used one process waits from then on, and of any other none", async (t) => {
  const it = await TestPool.open(t, { zygotes: 2, zygotesMax: 8 });
  /** By what they run last in their arguments: Node's guest, the companion, Python's guest. */
  const waiting = (): string => {
    const guests = it.sandbox.living.filter(({ assigned }) => assigned === null);
    return guests
      .map(({ spec }) => spec.argv.at(-1))
      .toSorted()
      .join(" ");
  };
  const settled = async (guests: string): Promise<void> => {
    await until(() => waiting() === guests);
    // It stays so: the next look at the stock finds nothing to do.
    await it.advance(1000);
    assert.equal(waiting(), guests);
  };
  await settled("/guest /guest");
  const use = async (program: Program, revision: string): Promise<void> => {
    const group = it.pool.group({ ...liveWith(program), revision }, "own");
    const { exchange, guest } = await it.running(group);
    guest.answer(1);
    await until(() => exchange.outcome === "ok");
    group.retire();
    await until(() => guest.all(FrameType.drain).length > 0);
    guest.die({ code: 0, signal: null });
    await until(() => group.instances.length === 0);
    // Uses within one second would be demand for more.
    await it.advance(1000);
  };
  await use(programOf("python", { handler: "app.handler" }), "python");
  await settled("/guest /guest /guest/main.py");
  // Two runtimes of programs have the same companion.
  await use(programOf("command", { command: ["./server"] }), "command");
  await use(programOf("provided"), "provided");
  await settled("/companion /guest /guest /guest/main.py");
  // A waiting one is what the next use takes, and another takes its place.
  const started = it.guests.length;
  await use(programOf("python", { handler: "app.handler" }), "python again");
  await settled("/companion /guest /guest /guest/main.py");
  assert.equal(it.guests.length, started + 1);
});

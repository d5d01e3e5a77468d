/** Real processes: runtimes and extensions written in Node, which ask a real Runtime API. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { EnvironmentError } from "./environment.ts";
import { answerOf, client, errorOf, type Given, make, obedient, watcher } from "./environment.fixture.ts";
import { isOwnConnection } from "./own-processes.ts";
import { call } from "./runtime-api.fixture.ts";

test("a runtime is started once and serves one invocation after the other", async (t) => {
  const { environment, invoke, printed, notes } = make(t, {});
  await environment.open();
  const [first, second] = await Promise.all([invoke({ print: "hello" }, "a"), invoke({}, "b")]);
  assert.equal(answerOf(first).pid, answerOf(second).pid);
  assert.deepEqual(notes(), ["runtime started"]);
  assert.deepEqual(printed, ["function 1 hello"]);
});

test("what keeps a bootstrap from running is said in AWS's words", async (t) => {
  const own = readFileSync(process.execPath).subarray(0, 64);
  const foreign = Buffer.from(own);
  // The machine type: one that is never this one.
  foreign.writeUInt16LE(own.readUInt16LE(18) === 243 ? 62 : 243, 18);
  const cases: readonly [Given, RegExp][] = [
    [{ bootstrap: "" }, /^Error: fork\/exec \/.*bootstrap: no such file or directory$/],
    [{ mode: 0o644 }, /bootstrap: permission denied$/],
    [{ bootstrap: foreign }, /bootstrap: exec format error$/],
    [{ bootstrap: "echo no shebang\n" }, /bootstrap: exec format error$/],
    [{ bootstrap: "#!/no/such/interpreter\n" }, /bootstrap: no such file or directory$/],
  ];
  for (const [given, message] of cases) {
    const { environment } = make(t, given);
    await assert.rejects(environment.open(), (error: unknown) => {
      assert.ok(error instanceof EnvironmentError);
      assert.equal(error.error.errorType, "Runtime.InvalidEntrypoint");
      assert.match(error.error.errorMessage, message);
      return true;
    });
    assert.equal(environment.phase, "gone");
  }
});

test("a bootstrap that exits before it asks for anything fails the start", async (t) => {
  const exits: readonly [string, RegExp][] = [
    ["process.exit(0)", /Runtime exited without providing a reason/],
    ["process.exit(7)", /Runtime exited with error: exit status 7/],
    [`process.kill(process.pid, "SIGKILL")`, /Runtime exited with error: signal: killed/],
  ];
  for (const [code, message] of exits) {
    const { environment } = make(t, { bootstrap: `${client}${code}` });
    await assert.rejects(environment.open(), { name: "Runtime.ExitError", message });
  }
});

test("a start that the runtime itself gives up is its own error", async (t) => {
  const bootstrap = `${client}ask("POST", runtime + "/init/error", JSON.stringify({ errorType: "Runtime.NoHandler", errorMessage: "no such handler", stackTrace: ["a"] })).then(() => process.exit(1));`;
  const { environment } = make(t, { bootstrap });
  await assert.rejects(environment.open(), { name: "Runtime.NoHandler", message: "no such handler" });
});

test("whoever does not ask for a first event in time is named, and started anew within an invocation", async (t) => {
  const silent = `#!${process.execPath}\nsetTimeout(() => {}, 60_000);`;
  const cases: readonly [Given, RegExp][] = [
    [{ bootstrap: silent }, /^function 2 the runtime did not ask for a first event within 0\.1 s: all is started anew/],
    [{ extensions: { mute: silent } }, /^function 2 the extension mute did not ask/],
  ];
  for (const [given, message] of cases) {
    const { environment, invoke, printed } = make(t, { ...given, initMs: 100 });
    await environment.open();
    const phase = (): string => environment.phase;
    assert.equal(phase(), "cold");
    assert.match(printed[0]!, /^function 2 INIT_REPORT Init Duration: \d+\.\d\d ms\tPhase: init\tStatus: timeout$/);
    assert.match(printed[1]!, message);
    const hanging = invoke({}, "late");
    while (phase() !== "init") await new Promise(setImmediate);
    environment.timeOut("late");
    assert.deepEqual(errorOf(await hanging), ["Sandbox.Timedout", "RequestId: late Error: Task timed out"]);
  }
});

test("a start that was too slow is done again with the first invocation, once for it and those after it", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "aloft-slow-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const slow = obedient.replace(
    'note("runtime started");',
    `while (!require("node:fs").existsSync(process.env.GO)) await new Promise((resolve) => setTimeout(resolve, 5));`,
  );
  const GO = join(folder, "go");
  const { environment, invoke } = make(t, { bootstrap: slow, initMs: 100, env: { GO } });
  await environment.open();
  writeFileSync(GO, "");
  const { pid } = answerOf(await invoke({}, "a"));
  assert.equal(answerOf(await invoke({}, "b")).pid, pid);
});

test("a runtime that hangs while it starts anew is ended when the invocation's time is over", async (t) => {
  const once = obedient.replace(
    'note("runtime started");',
    `note("runtime started"); if (require("node:fs").readFileSync(process.env.NOTES, "utf8").split("started").length === 3) await new Promise((resolve) => setTimeout(resolve, 60_000));`,
  );
  const { environment, invoke, notes } = make(t, { bootstrap: once });
  await environment.open();
  errorOf(await invoke({ exit: 1 }, "a"));
  const hanging = invoke({}, "b");
  while (notes().length < 2) await new Promise(setImmediate);
  environment.timeOut("b");
  assert.equal(errorOf(await hanging)[0], "Sandbox.Timedout");
  answerOf(await invoke({}, "c"));
});

test("a function's error reaches its caller, and the runtime goes on", async (t) => {
  const { environment, invoke } = make(t, {});
  await environment.open();
  const { pid } = answerOf(await invoke({}));
  assert.deepEqual(errorOf(await invoke({ fail: { errorType: "Refused", errorMessage: "no" } })), ["Refused", "no"]);
  assert.equal(answerOf(await invoke({})).pid, pid);
});

test("a runtime that exits without an answer fails the invocation, and the next one gets a new runtime", async (t) => {
  const { environment, invoke } = make(t, {});
  await environment.open();
  const { pid } = answerOf(await invoke({}));
  const ends: readonly [object, string][] = [
    [{ exit: 1 }, "Runtime exited with error: exit status 1"],
    [{ exit: 0 }, "Runtime exited without providing a reason"],
    [{ signal: "SIGKILL" }, "Runtime exited with error: signal: killed"],
  ];
  for (const [event, how] of ends) {
    assert.deepEqual(errorOf(await invoke(event, "r9")), ["Runtime.ExitError", `RequestId: r9 Error: ${how}`]);
    assert.equal(environment.phase, "cold");
  }
  assert.notEqual(answerOf(await invoke({})).pid, pid);
});

test("a runtime that exits after its answer has answered", async (t) => {
  const { environment, invoke } = make(t, {});
  await environment.open();
  const { pid } = answerOf(await invoke({ exitAfter: true }));
  assert.notEqual(answerOf(await invoke({})).pid, pid);
});

test("a timeout ends everything, and the next invocation starts anew", async (t) => {
  const { environment, invoke, notes } = make(t, { extensions: { watch: watcher } });
  await environment.open();
  const hanging = invoke({ hang: true }, "slow");
  while (!notes().includes("watch INVOKE slow")) await new Promise(setImmediate);
  environment.timeOut("another");
  environment.timeOut("slow");
  assert.deepEqual(errorOf(await hanging), ["Sandbox.Timedout", "RequestId: slow Error: Task timed out"]);
  assert.deepEqual(notes().slice(-2), ["runtime SIGTERM", "watch SHUTDOWN timeout"]);
  answerOf(await invoke({}, "next"));
  assert.equal(notes().at(-1), "watch INVOKE next");
});

test("extensions are started first, hear of every invocation, and end last", async (t) => {
  const { environment, invoke, notes } = make(t, { extensions: { one: watcher, two: watcher } });
  await environment.open();
  answerOf(await invoke({}, "a"));
  await environment.shutdown("spindown");
  assert.equal(environment.phase, "gone");
  const seen = notes();
  assert.equal(seen[0], "runtime started");
  assert.deepEqual(seen.slice(1, 3).toSorted(), ["one INVOKE a", "two INVOKE a"]);
  assert.equal(seen[3], "runtime SIGTERM");
  assert.deepEqual(seen.slice(4).toSorted(), ["one SHUTDOWN spindown", "two SHUTDOWN spindown"]);
});

test("without extensions a runtime is ended at once", async (t) => {
  const { environment, notes } = make(t, {});
  await environment.open();
  await environment.shutdown("spindown");
  assert.deepEqual(notes(), ["runtime started"]);
});

test("a runtime that does not care about SIGTERM is killed, and extensions still hear of the end", async (t) => {
  const { environment, notes } = make(t, { extensions: { watch: watcher }, env: { STUBBORN: "1" } });
  await environment.open();
  await environment.shutdown("spindown");
  assert.deepEqual(notes().slice(-2), ["runtime SIGTERM", "watch SHUTDOWN spindown"]);
});

test("an extension that fails fails the start, or the invocation", async (t) => {
  const ends: readonly [Given, string, RegExp][] = [
    [{ extensions: { bad: "#!/no/such/interpreter\n" } }, "Extension.LaunchError", /extensions\/bad: no such file/],
    [{ extensions: { bad: `${client}process.exit(4)` } }, "Extension.Crash", /extension bad exited: exit status 4/],
    [
      { extensions: Object.fromEntries(Array.from({ length: 11 }, (_, at) => [`e${at}`, watcher])) },
      "Extension.LaunchError",
      /11 extensions, and at most 10/,
    ],
  ];
  for (const [given, name, message] of ends) {
    const { environment } = make(t, given);
    await assert.rejects(environment.open(), { name, message });
  }
  const { environment, invoke } = make(t, { extensions: { watch: watcher }, env: { CRASH: "1" } });
  await environment.open();
  const result = await invoke({ hang: true }, "r2");
  assert.deepEqual(errorOf(result), ["Extension.Crash", "RequestId: r2 Error: extension watch exited: exit status 3"]);
});

test("a listener hears the whole life of a function", async (t) => {
  const { environment, invoke, notes } = make(t, { extensions: { ears: watcher }, env: { LISTEN: "1" } });
  await environment.open();
  answerOf(await invoke({ print: "from the function" }, "a"));
  errorOf(await invoke({ exit: 1 }, "b"));
  await environment.shutdown("spindown");
  const heard = notes()
    .filter((note) => note.startsWith("heard "))
    .map((note) => /^heard (\S+) (.*)$/.exec(note)!)
    .map(([, type, record]) => ({ type, record: JSON.parse(record!) as Record<string, unknown> }));
  assert.deepEqual(
    heard.map(({ type }) => type),
    [
      "platform.initStart",
      "platform.telemetrySubscription",
      "platform.initRuntimeDone",
      "platform.extension",
      "platform.initReport",
      "platform.start",
      "function",
      "platform.runtimeDone",
      "platform.report",
      "platform.start",
      "platform.runtimeDone",
      "platform.report",
    ],
  );
  const of = (type: string, requestId: string): Record<string, unknown> =>
    heard.find((one) => one.type === type && one.record["requestId"] === requestId)!.record;
  assert.partialDeepStrictEqual(heard[0]!.record, {
    initializationType: "on-demand",
    phase: "init",
    functionName: "shop-f",
    functionVersion: "$LATEST",
    instanceMaxMemory: 256,
  });
  assert.deepEqual(heard[3]!.record, { name: "ears", state: "Ready", events: ["INVOKE", "SHUTDOWN"] });
  const done = of("platform.runtimeDone", "a") as { status: string; spans: { name: string }[]; metrics: object };
  assert.equal(done.status, "success");
  assert.deepEqual(
    done.spans.map(({ name }) => name),
    ["responseLatency", "responseDuration", "runtimeOverhead"],
  );
  const { metrics } = of("platform.report", "a") as { metrics: Record<string, number> };
  assert.equal(metrics["memorySizeMB"], 256);
  assert.ok(metrics["initDurationMs"]! > 0 && metrics["maxMemoryUsedMB"]! > 0 && metrics["durationMs"]! > 0);
  assert.equal(metrics["billedDurationMs"], Math.ceil(metrics["durationMs"]!));
  assert.partialDeepStrictEqual(of("platform.runtimeDone", "b"), { status: "error", errorType: "Runtime.ExitError" });
});

test("strangers are not answered", async (t) => {
  const { environment } = make(t, {});
  await environment.open();
  // This very process is not a program of the environment: it is what holds the other end.
  await assert.rejects(call(environment.address, "GET", "/2018-06-01/ping"));
  assert.equal(isOwnConnection({} as never), false);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { nextExtensionState } from "./extension-states.ts";
import { nextPhase, type Phase, shutdownBudget } from "./phases.ts";
import { nextRuntimeState } from "./runtime-states.ts";

test("a runtime answers each event once, then asks for the next", () => {
  let state = nextRuntimeState("Started", "next");
  for (const answer of ["response", "error"] as const) {
    assert.equal(state, "Ready");
    state = nextRuntimeState(state, "invoke");
    assert.equal(state, "Running");
    state = nextRuntimeState(state, answer);
    assert.equal(nextRuntimeState(state!, "response"), null);
    assert.equal(nextRuntimeState(state!, "error"), null);
    assert.equal(nextRuntimeState(state!, "next"), null);
    state = nextRuntimeState(state!, "sent");
    assert.equal(nextRuntimeState(state!, "response"), null);
    state = nextRuntimeState(state!, "next");
  }
});

test("a runtime reports an error of its start before its first next, and nothing after it", () => {
  assert.equal(nextRuntimeState("Started", "initError"), "InitError");
  assert.equal(nextRuntimeState("Ready", "initError"), null);
  assert.equal(nextRuntimeState("Running", "initError"), null);
  assert.equal(nextRuntimeState("InitError", "next"), null);
  assert.equal(nextRuntimeState("Started", "response"), null);
});

test("a runtime that lost its connection may ask again", () => {
  assert.equal(nextRuntimeState("Ready", "next"), "Ready");
  assert.equal(nextRuntimeState("Running", "next"), "Running");
});

test("an extension registers once, then goes from event to event", () => {
  assert.equal(nextExtensionState("Started", "next"), null);
  assert.equal(nextExtensionState("Started", "register"), "Registered");
  assert.equal(nextExtensionState("Registered", "register"), null);
  assert.equal(nextExtensionState("Registered", "next"), "Ready");
  assert.equal(nextExtensionState("Ready", "next"), null);
  assert.equal(nextExtensionState("Ready", "event"), "Running");
  assert.equal(nextExtensionState("Running", "next"), "Ready");
});

test("an extension's errors are final, and may be repeated", () => {
  assert.equal(nextExtensionState("Registered", "initError"), "InitError");
  assert.equal(nextExtensionState("Ready", "initError"), null);
  assert.equal(nextExtensionState("InitError", "initError"), "InitError");
  assert.equal(nextExtensionState("InitError", "exitError"), null);
  for (const state of ["Registered", "Ready", "Running"] as const)
    assert.equal(nextExtensionState(state, "exitError"), "ExitError");
  assert.equal(nextExtensionState("ExitError", "exitError"), "ExitError");
  assert.equal(nextExtensionState("ExitError", "next"), null);
});

test("an environment goes from cold through init and invocations, and through a reset back to cold", () => {
  const way = [
    ["start", "init"],
    ["ready", "idle"],
    ["invoke", "invoke"],
    ["done", "idle"],
    ["invoke", "invoke"],
    ["fail", "reset"],
    ["ended", "cold"],
    ["start", "init"],
    ["fail", "reset"],
    ["shutdown", "shutdown"],
    ["ended", "gone"],
  ] as const;
  let phase: Phase = "cold";
  for (const [event, expected] of way) {
    assert.equal(nextPhase(phase, event), expected, event);
    phase = expected;
  }
  assert.equal(nextPhase("init", "invoke"), null);
  assert.equal(nextPhase("reset", "invoke"), null);
  assert.equal(nextPhase("shutdown", "fail"), null);
  assert.equal(nextPhase("gone", "start"), null);
});

test("only registered extensions are given time to end", () => {
  assert.deepEqual(shutdownBudget({ external: 0, internal: 0 }), { runtimeMs: 0, totalMs: 0 });
  assert.deepEqual(shutdownBudget({ external: 0, internal: 1 }), { runtimeMs: 500, totalMs: 500 });
  assert.deepEqual(shutdownBudget({ external: 1, internal: 1 }), { runtimeMs: 300, totalMs: 2000 });
});

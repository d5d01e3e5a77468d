import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAppConfig } from "./app-config.ts";
import type { Runtime } from "./deployment.ts";
import { needsNodeEntry, programsOf } from "./programs.ts";

function planned(json: object, runtime?: Runtime): Record<string, string> {
  const config = parseAppConfig(JSON.stringify(json));
  const programs = programsOf(config, config.runtime ?? runtime ?? "node");
  return Object.fromEntries(
    programs.map(({ name, program }) => [
      name,
      [program.runtime, program.handler || program.command.join(" ")].join(" ").trim(),
    ]),
  );
}

test("an app is one function of its runtime, or has the functions of aloft.json", () => {
  const table: [json: object, found: Runtime, expected: Record<string, string>][] = [
    [{}, "node", {}],
    [{}, "python", { default: "python" }],
    [{ functions: { default: { memoryMiB: 512 } } }, "python", { default: "python" }],
    [{ runtime: "python", handler: "app.resize" }, "node", { resize: "python app.resize" }],
    [{ runtime: "python", handler: "app:app" }, "node", { default: "python app:app" }],
    [{ runtime: "provided" }, "node", { default: "provided" }],
    [{ command: ["node", "server.js"], ready: "/health" }, "node", { default: "command node server.js" }],
    [{ functions: { web: { command: ["./web"] } } }, "node", { web: "command ./web" }],
    [
      { functions: { one: { handler: "app.one" }, two: { handler: "app.two" } } },
      "python",
      { one: "python app.one", two: "python app.two" },
    ],
    [
      { runtime: "python", handler: "app.handler", functions: { web: { command: ["./web"] } } },
      "node",
      { web: "command ./web", handler: "python app.handler" },
    ],
    [{ functions: { one: { memoryMiB: 64 }, py: { runtime: "python" } } }, "node", { py: "python" }],
  ];
  for (const [json, found, expected] of table) assert.deepEqual(planned(json, found), expected, JSON.stringify(json));
});

test("what does not go together is refused with the place", () => {
  const table: [json: object, message: RegExp][] = [
    [{ handler: "app.handler" }, /"handler" and "ready" at the top need a "runtime"/],
    [{ runtime: "command" }, /the runtime command needs "command"/],
    [{ runtime: "nodejs" }, /the runtime nodejs needs "handler"/],
    [{ runtime: "python", command: ["x"] }, /"command" is of the runtime command, not of python/],
    [{ runtime: "provided", ready: "/" }, /"ready" is of the runtime command, not of provided/],
    [{ functions: { a: { handler: "x.y" } } }, /functions\.a has a handler and the runtime node/],
    [{ functions: { a: { command: ["x"], handler: "x.y" } } }, /functions\.a: "handler" is not of the runtime command/],
    [
      { runtime: "python", handler: "app.a", functions: { a: { command: ["x"] } } },
      /the app itself and functions\.a have one name/,
    ],
  ];
  for (const [json, message] of table) {
    assert.throws(() => planned(json), { code: "CONFIG_INVALID", message }, JSON.stringify(json));
  }
});

test("the folder's own Node code is an entry beside Python, and beside Node programs only when it is named", () => {
  const table: [json: object, expected: boolean][] = [
    [{}, true],
    [{ runtime: "python" }, false],
    [{ runtime: "python", entry: "index.ts" }, true],
    [{ functions: { a: { runtime: "python" } } }, true],
    [{ functions: { a: { command: ["node", "a.js"] } } }, false],
    [{ runtime: "node", functions: { a: { command: ["node", "a.js"] } } }, true],
    [{ entry: "index.ts", functions: { a: { runtime: "nodejs", handler: "a.b" } } }, true],
  ];
  for (const [json, expected] of table) {
    const config = parseAppConfig(JSON.stringify(json));
    assert.equal(needsNodeEntry(config, config.runtime ?? "node"), expected, JSON.stringify(json));
  }
});

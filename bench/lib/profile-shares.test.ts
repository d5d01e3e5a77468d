import assert from "node:assert/strict";
import { test } from "node:test";
import { partOf, sharesOf } from "./profile-shares.ts";

test("a frame belongs to the room, the module of Node or the package that its file lies in", () => {
  const table: [name: string, url: string, part: string][] = [
    ["(idle)", "", "idle"],
    ["(garbage collector)", "", "collector"],
    ["(program)", "", "native"],
    ["writev", "", "native writev"],
    ["parserOnHeadersComplete", "node:_http_common", "node:_http_common"],
    ["find", "file:///x/node_modules/find-my-way/index.js", "find-my-way"],
    [
      "http",
      "file:///x/node_modules/@google-cloud/functions-framework/build/a.js",
      "@google-cloud/functions-framework",
    ],
    ["encode", "file:///x/src/wire/frames.ts", "src/wire"],
    ["onRequest", "file:///x/src/doors/http/door.ts", "src/doors/http"],
    ["main", "file:///x/guest/node/main.ts", "guest/node"],
    ["fetch", "file:///data/deployments/hello/0123/index.js", "deployments"],
  ];
  for (const [name, url, part] of table) assert.equal(partOf(name, url), part, url || name);
});

test("shares are of the time that was not idle, the largest first", () => {
  const frame = (id: number, functionName: string, url = "") => ({ id, callFrame: { functionName, url } });
  const profile = {
    nodes: [frame(1, "(idle)"), frame(2, "a", "node:net"), frame(3, "b", "file:///x/src/pool/pool.ts")],
    samples: [1, 2, 3, 3],
    timeDeltas: [1000, 100, 200, 100],
  };
  assert.deepEqual(sharesOf(profile), [
    { part: "src/pool", fraction: 0.75 },
    { part: "node:net", fraction: 0.25 },
  ]);
});

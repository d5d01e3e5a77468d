import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { FunctionSpec, HandlerStyle } from "../contract/deployment.ts";
import { createRouteTable, matchRoute } from "./route-table.ts";

const limits = {
  memoryMiB: 256,
  timeoutMs: 30_000,
  concurrency: 64,
  minInstances: 0,
  maxInstances: 10,
  keepAliveMs: 60_000,
};

/** "GET /links/:id" is a function of the SDK, "fetch * /*" one of that style. */
function table(...routes: string[]) {
  const functions = routes.map((text): FunctionSpec => {
    const parts = text.split(" ");
    const style = (parts.length === 3 ? parts.shift() : "http") as HandlerStyle;
    const trigger = { kind: "http", method: parts[0]!, path: parts[1]! } as const;
    return { name: text, style, triggers: [trigger], limits, group: "http" };
  });
  return createRouteTable({ functions });
}

/** "0 id=x" for function 0 with a parameter, "404", "405 ALLOW", "204 ALLOW". */
function ask(routes: ReturnType<typeof table>, request: string): string {
  const [method, path] = request.split(" ") as [string, string];
  const match = matchRoute(routes, method, path);
  if (match.kind === "notFound") return "404";
  if (match.kind === "methodNotAllowed") return `405 ${match.allow}`;
  if (match.kind === "options") return `204 ${match.allow}`;
  const params = Object.entries(match.params).map(([name, value]) => ` ${name}=${value}`);
  return `${match.functionIndex}${params.join("")}`;
}

const common = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT";

test("a request finds its function", () => {
  const cases: [string[], [string, string][]][] = [
    [
      ["GET /links/:id", "POST /links", "GET /links/new", "DELETE /links/:id"],
      [
        ["GET /links/7", "0 id=7"],
        ["GET /links/new", "2"],
        ["GET /links/newer", "0 id=newer"],
        ["POST /links", "1"],
        ["POST /links/", "1"],
        ["GET /links/7/", "0 id=7"],
        ["DELETE /links/7", "3 id=7"],
        ["HEAD /links/7", "0 id=7"],
        ["GET /links/a%2Fb", "0 id=a/b"],
        ["GET /links/a%20b", "0 id=a b"],
        ["GET /links/%E4%B8%96", "0 id=世"],
        ["GET /links/n%65w", "2"],
        ["GET /", "404"],
        ["GET /links/7/x", "404"],
        ["GET /Links/7", "404"],
        ["GET //links/7", "404"],
        ["GET /links", "405 OPTIONS, POST"],
        ["GET /links/", "405 OPTIONS, POST"],
        ["PUT /links/7", "405 DELETE, GET, HEAD, OPTIONS"],
        ["OPTIONS /links/7", "204 DELETE, GET, HEAD, OPTIONS"],
        ["OPTIONS /links", "204 OPTIONS, POST"],
        ["OPTIONS /nothing", "404"],
        ["OPTIONS *", "204 DELETE, GET, HEAD, OPTIONS, POST"],
        [`GET /links/${"x".repeat(1000)}`, `0 id=${"x".repeat(1000)}`],
        [`GET /links/${"x".repeat(1001)}`, "404"],
      ],
    ],
    [
      ["fetch * /*"],
      [
        ["GET /", "0"],
        ["POST /any/thing", "0"],
        ["OPTIONS /x", "0"],
        ["PROPFIND /x", "0"],
        ["TRACE /x", `405 ${common}`],
        ["OPTIONS *", `204 ${common}`],
      ],
    ],
    [
      ["GET /api/:name", "fetch * /*"],
      [
        ["GET /api/x", "0 name=x"],
        ["GET /api/x/", "0 name=x"],
        ["POST /api/x", "1 *=api/x"],
        ["GET /api/", "1 *=api/"],
        ["GET /", "1 *="],
        ["OPTIONS /api/x", "1 *=api/x"],
      ],
    ],
    [
      ["lambda * /one/*", "lambda * /two/*"],
      [
        ["GET /one", "0 *="],
        ["GET /one/", "0 *="],
        ["PUT /two/x/y", "1 *=x/y"],
        ["GET /three", "404"],
        ["TRACE /one", `405 ${common}`],
      ],
    ],
    [
      ["* /any", "GET /any", "HEAD /any/head", "GET /any/head", "OPTIONS /any/head"],
      [
        ["GET /any", "1"],
        ["HEAD /any", "1"],
        ["POST /any", "0"],
        ["OPTIONS /any", "0"],
        ["HEAD /any/head", "2"],
        ["GET /any/head", "3"],
        ["OPTIONS /any/head", "4"],
      ],
    ],
    [
      ["GET /:id", "GET /files/:name", "GET /files/*", "GET /:user/posts/:post"],
      [
        ["GET /", "404"],
        ["GET /files/", "2 *="],
        ["GET /files", "0 id=files"],
        ["GET /files/a/b.txt", "2 *=a/b.txt"],
        ["GET /u//x", "404"],
        ["GET //posts/x", "404"],
        ["GET /u/posts/9", "3 user=u post=9"],
        ["GET /u/posts/", "404"],
      ],
    ],
    [
      ["GET /posts/:page?", "GET /:lang?", "GET /v/:a-:b", "GET /caf\u00e9", "GET /a::b", "GET /100%"],
      [
        ["GET /posts", "0"],
        ["GET /posts/2", "0 page=2"],
        ["GET /", "1"],
        ["GET /en", "1 lang=en"],
        ["GET /v/1-2", "2 a=1 b=2"],
        ["GET /caf%C3%A9", "3"],
        ["GET /a:b", "4"],
        ["GET /100%25", "5"],
      ],
    ],
    [
      ["GET /:id", "GET /:name", "GET /x/:id(\\d+)", "GET nonsense"],
      [
        ["GET /7", "0 id=7"],
        ["GET /x/7", "404"],
      ],
    ],
    [
      [],
      [
        ["GET /", "404"],
        ["OPTIONS *", "204 OPTIONS"],
      ],
    ],
  ];
  for (const [routes, requests] of cases) {
    const compiled = table(...routes);
    for (const [request, expected] of requests)
      assert.equal(ask(compiled, request), expected, `${routes.join()} <- ${request}`);
  }
});

test("what is not found tells the routes there are", () => {
  const match = matchRoute(table("GET /a", "POST /b/:c"), "GET", "/none");
  assert.deepEqual(match, { kind: "notFound", routes: ["GET /a", "POST /b/:c"] });
});

test("every route is found by a path made from its pattern, and never with an empty parameter", () => {
  const part = fc.constantFrom("a", "b", ":x", ":y");
  const pattern = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => `/${parts.join("/")}`);
  fc.assert(
    fc.property(
      fc.uniqueArray(pattern, { minLength: 1, maxLength: 8 }),
      fc.array(fc.constantFrom("a", "b", "", "q")),
      (patterns, segments) => {
        const compiled = table(...patterns.map((path) => `GET ${path}`));
        for (const path of patterns) assert.match(ask(compiled, `GET ${path.replaceAll(/:\w/g, "value")}`), /^\d/);
        const match = matchRoute(compiled, "GET", `/${segments.join("/")}`);
        if (match.kind === "function") assert.ok(!Object.values(match.params).includes(""));
      },
    ),
  );
});

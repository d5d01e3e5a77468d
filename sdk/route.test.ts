import assert from "node:assert/strict";
import { test } from "node:test";
import findMyWay from "find-my-way";
import { matchPath, parseRoute } from "./route.ts";

test("a route is a method and a path, or a path for every method", () => {
  assert.deepEqual(parseRoute("GET /links/:id"), { method: "GET", path: "/links/:id" });
  assert.deepEqual(parseRoute("/links/:id"), { method: "*", path: "/links/:id" });
  assert.deepEqual(parseRoute("* /"), { method: "*", path: "/" });
});

test("a route that is not valid is refused with the reason", () => {
  const cases: readonly [string, RegExp][] = [
    ["links", /route "links": the path "links" must begin with "\/"/],
    ["GET links", /the path "links" must begin/],
    ["get /links", /"get" is not a method; use GET, HEAD/],
    ["GET  /links", /the path " \/links" must begin/],
    ["/a b", /must not hold " "/],
    ["/a?b=c", /must not hold "\?"/],
    ["/a#b", /must not hold "#"/],
    ["/a\u0000", /must not hold "\\u0000"/],
    ["/*/a", /"\*" may only be its last character/],
    ["/:a*", /"\*" must not follow a parameter/],
    ["/:", /":" is not a name for a parameter/],
    ["/:1a", /":1a" is not a name/],
    ["/:a:b", /":b" needs a/],
    ["/:a/:a", /":a" stands in it twice/],
    ["/:a?/b", /":a\?" may only be its whole last part/],
    ["/x:a?", /":a\?" may only be its whole last part/],
    ["/:id(^\\d+$)", /patterns in parentheses are not supported/],
  ];
  for (const [route, reason] of cases) assert.throws(() => parseRoute(route), reason, route);
});

test("a path matches as the platform's router matches it", () => {
  const paths: readonly [string, string][] = [
    ["/links/:id", "/links/a%20b"],
    ["/links/:id", "/links/"],
    ["/links/:id", "/links/a/b"],
    ["/files/*", "/files/a/b.txt"],
    ["/files/*", "/files/"],
    ["/links/:id?", "/links"],
    ["/links/:id?", "/links/a"],
    ["/:id?", "/"],
    ["/:id?", "/a"],
    ["/links/:id?", "/links/"],
    ["/near/:lat-:lng/radius/:r", "/near/15-25/radius/3"],
    ["/:name.:extension", "/photo.png"],
    ["/names::verb", "/names:verb"],
    ["/a.c", "/abc"],
  ];
  for (const [path, pathname] of paths) {
    const router = findMyWay();
    router.on("GET", path, () => {});
    const found = router.find("GET", pathname);
    const expected = found === null ? null : Object.fromEntries(Object.entries(found.params));
    assert.deepEqual(matchPath(`GET ${path}`, pathname), expected, `${path} with ${pathname}`);
  }
});

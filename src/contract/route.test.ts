import assert from "node:assert/strict";
import { test } from "node:test";
import { AloftError } from "./errors.ts";
import { formatRoute, parseRoute, routeShapes } from "./route.ts";

test("a route is a method and a path", () => {
  const table: [string, string, string][] = [
    ["POST /resize", "POST", "/resize"],
    ["get /links/:id", "GET", "/links/:id"],
    ["  GET\t/files/*  ", "GET", "/files/*"],
    ["/health", "*", "/health"],
    ["* /", "*", "/"],
    ["/*", "*", "/*"],
    ["GET /:from-:to/:name.json", "GET", "/:from-:to/:name.json"],
    ["GET /größe/:id/", "GET", "/größe/:id/"],
    ["GET /a::b", "GET", "/a::b"],
    ["GET /a-*", "GET", "/a-*"],
    ["GET /a/:id?", "GET", "/a/:id?"],
    ["QUERY /search", "QUERY", "/search"],
  ];
  for (const [text, method, path] of table) assert.deepEqual(parseRoute(text), { method, path }, text);
});

test("what is wrong with a route is said", () => {
  const table: [string, RegExp][] = [
    ["", /does not begin with \//],
    ["POST", /does not begin with \//],
    ["resize", /does not begin with \//],
    ["FETCH /a", /its method is "FETCH", allowed are GET, HEAD, POST/],
    ["CONNECT /a", /its method is "CONNECT"/],
    ["GET /a b", /holds " "/],
    ["GET /a?b=c", /queries take no part/],
    ["GET /:id?/a", /:id\? is allowed only as the whole of the last segment/],
    ["GET /a:id?", /:id\? is allowed only as the whole of the last segment/],
    ["GET /:id(\\d+)", /no regular expressions/],
    ["GET /a%20b", /write the character itself/],
    ["GET //a", /empty segment/],
    ["GET /a/../b", /a segment of dots/],
    ["GET /*/a", /only as the last character/],
    ["GET /:a*", /"\*" follows a parameter/],
    ["GET /:a:b", /":b" follows a parameter/],
    ["GET /:", /":" is not a parameter/],
    ["GET /:1", /":1" is not a parameter/],
    ["GET /:a/:a", /two of its parameters have the name a/],
    [`GET /${"a".repeat(1024)}`, /1025 characters, allowed are 1024/],
  ];
  for (const [text, pattern] of table) {
    assert.throws(
      () => parseRoute(text),
      (error) => error instanceof AloftError && error.code === "ROUTE_INVALID" && pattern.test(error.message),
      text,
    );
  }
});

test("a route is written as it is read", () => {
  for (const text of ["POST /resize", "/health", "GET /:id/*"]) assert.equal(formatRoute(parseRoute(text)), text);
});

test("patterns that match the same paths share a shape", () => {
  const table: [string, string[]][] = [
    ["/links/:id", ["/links/:"]],
    ["/links/:name", ["/links/:"]],
    ["/links/id", ["/links/id"]],
    ["/:a-:b.json", ["/:-:.json"]],
    ["/a::b", ["/a::b"]],
    ["/a/:id?", ["/a", "/a/:"]],
    ["/:id?", ["/", "/:"]],
  ];
  for (const [path, shapes] of table) assert.deepEqual(routeShapes(path), shapes, path);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { AloftError } from "./errors.ts";
import { formatRoute, parseRoute, routeShape } from "./route.ts";

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
    ["GET /:id?", /not optional/],
    ["GET /:id(\\d+)", /no regular expressions/],
    ["GET /a%20b", /write the character itself/],
    ["GET //a", /empty segment/],
    ["GET /a/../b", /the segment \.\./],
    ["GET /*/a", /only as the whole of the last segment/],
    ["GET /a*", /only as the whole of the last segment/],
    ["GET /:", /begins no parameter/],
    ["GET /a::b", /begins no parameter/],
    ["GET /:1", /begins no parameter/],
    ["GET /:a/:a", /the same name/],
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

test("patterns that match the same paths have the same shape", () => {
  assert.equal(routeShape("/links/:id"), routeShape("/links/:name"));
  assert.equal(routeShape("/:a-:b"), "/:-:");
  assert.notEqual(routeShape("/links/:id"), routeShape("/links/id"));
});

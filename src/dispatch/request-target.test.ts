import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { readTarget } from "./request-target.ts";
import type { RequestTarget } from "./request-target.ts";

function read(target: string, method = "GET"): RequestTarget | null {
  const out: RequestTarget = { path: "", pathAndQuery: "", authority: null };
  return readTarget(method, target, out) === "" ? out : null;
}

test("a target is split into path and query, whatever its form", () => {
  const table: [string, string, string, string | null][] = [
    ["/", "/", "/", null],
    ["/a/b", "/a/b", "/a/b", null],
    ["/a?b=c", "/a", "/a?b=c", null],
    ["/a?b=../c/../d", "/a", "/a?b=../c/../d", null],
    ["/a?100%", "/a", "/a?100%", null],
    ["/?", "/", "/?", null],
    ["//a//b/", "//a//b/", "//a//b/", null],
    ["/a%20b/%E4%B8%96", "/a%20b/%E4%B8%96", "/a%20b/%E4%B8%96", null],
    ["/.well-known/x", "/.well-known/x", "/.well-known/x", null],
    ["/...", "/...", "/...", null],
    ["/a.b/..c/d.", "/a.b/..c/d.", "/a.b/..c/d.", null],
    ["/caf\u00c3\u00a9?q=\u00c3\u00a9", "/caf%C3%A9", "/caf%C3%A9?q=%C3%A9", null],
    ["http://shop.example.com/a?b", "/a", "/a?b", "shop.example.com"],
    ["HTTP://h:80", "/", "/", "h:80"],
    ["http://h?q", "/", "/?q", "h"],
  ];
  for (const [target, path, pathAndQuery, authority] of table) {
    assert.deepEqual(read(target), { path, pathAndQuery, authority }, target);
  }
});

test("a target that two readers could understand differently is refused", () => {
  const table = [
    ..."|a|ftp://h/a|http:///a|http://user@h/a|http://h\\x/a|*|h:80|/a#b|/a b|/a\\b|/a\tb|/a\u0000|/a\u007f".split("|"),
    ..."/%|/%2|/%zz|/%ff|/%C3|/a%C3%28|/..|/.|/../a|/a/..|/a/./b|/a/../b|/a/..?x".split("|"),
    ..."/%2e|/%2E%2e/a|/a/.%2e/b|/a/%2e.?x|/a\u00ff|/\u4e16".split("|"),
  ];
  for (const target of table) assert.equal(read(target), null, JSON.stringify(target));
});

test("the asterisk is for OPTIONS", () => {
  assert.deepEqual(read("*", "OPTIONS"), { path: "*", pathAndQuery: "*", authority: null });
});

test("whatever is accepted is left as it is by a URL parser", () => {
  const piece = fc.constantFrom(
    "/",
    ".",
    "..",
    "a",
    "%2e",
    "%2F",
    "%41",
    "%",
    "?",
    "#",
    "\\",
    "\u00e9",
    "//",
    ";",
    "@",
    ":",
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const target = read(`/${pieces.join("")}`);
      if (target === null) return;
      const url = new URL(`http://host${target.pathAndQuery}`);
      assert.equal(url.pathname, target.path);
      assert.equal(url.host, "host");
    }),
    { numRuns: 2_000 },
  );
});

import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { createHeaderScan, createPeer, scanRawHeaders } from "./request-headers.ts";

const peer = createPeer("::ffff:10.0.0.9", "http", 8787);
const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/** "Name: value" lines in; the kept pairs, without what the peer adds, or the complaint. */
function scan(lines: readonly string[], trustsProxy = false) {
  const raw = lines.flatMap((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]);
  const out = createHeaderScan();
  const complaint = scanRawHeaders(raw, peer, trustsProxy, id, out);
  const flat = out.headers === "" ? [] : out.headers.split("\n");
  const pairs = flat.flatMap((name, index) => (index % 2 === 0 ? [`${name}: ${flat[index + 1]}`] : []));
  return { out, complaint, pairs: pairs.filter((pair) => pair !== `x-request-id: ${id}`) };
}

const id = "0199f00aaabb00000000000000000001";
const own = ["x-forwarded-for: 10.0.0.9", "x-forwarded-proto: http", "x-forwarded-port: 8787"];

test("names are lowered, what belongs to the connection or the platform is dropped, the rest stays in order", () => {
  const table: [string[], string[]][] = [
    [[], []],
    [
      ["User-Agent: x", "ACCEPT: */*", "user-agent: y"],
      ["user-agent: x", "accept: */*", "user-agent: y"],
    ],
    [["Connection: keep-alive", "Keep-Alive: timeout=5", "A: 1"], ["a: 1"]],
    [["TE: trailers", "Trailer: X", "Transfer-Encoding: chunked", "Upgrade: h2c", "Expect: 100-continue"], []],
    [["Proxy-Authorization: x", "Proxy-Connection: x", "Proxy: x"], ["proxy: x"]],
    [["Aloft-App: shop", "aloft-anything: x", "aloft: y"], ["aloft: y"]],
    [["X-Hop: 1", "Connection: close, x-hop", "X-Other: 2"], ["x-other: 2"]],
    [["Connection: X-One", "X-One: 1", "connection: x-two", "X-Two: 2"], []],
    [
      ["Connection: cookie, Authorization", "Cookie: a", "Authorization: b"],
      ["cookie: a", "authorization: b"],
    ],
    [["Content-Length: 5", "Connection: content-length"], ["content-length: 5"]],
    [
      ["Empty:", "__proto__: x", "Constructor: y"],
      ["empty: ", "__proto__: x", "constructor: y"],
    ],
    [["Traceparent: broken", "Tracestate: a=1"], []],
    [["Tracestate: a=1", `Traceparent: ${trace}`, "Tracestate: b=2"], ["tracestate: a=1, b=2"]],
    [["X-Request-Id: r1"], ["x-request-id: r1"]],
  ];
  for (const [lines, expected] of table) {
    const { complaint, pairs } = scan(lines);
    assert.equal(complaint, "", lines.join());
    assert.deepEqual(pairs, [...expected, ...own], lines.join());
  }
});

test("what the door must know is noted on the way", () => {
  const { out } = scan([
    "Host: Shop.localhost:8787",
    "Aloft-App: shop@preview",
    "Content-Type: text/plain",
    "Content-Length: 12",
    "Expect: 100-Continue",
    "X-Request-Id: r1",
    `Traceparent: ${trace}`,
  ]);
  const { headers: _headers, ...noted } = out;
  assert.deepEqual(noted, {
    host: "Shop.localhost:8787",
    aloftApp: "shop@preview",
    contentLength: 12,
    isChunked: false,
    contentType: "text/plain",
    expect: "100-continue",
    requestId: "r1",
    traceparent: trace,
    remoteAddress: "10.0.0.9",
    protocol: "http",
  });
  assert.equal(scan(["Transfer-Encoding: Chunked"]).out.isChunked, true);
  assert.equal(scan([`traceparent: ${trace}`, `traceparent: ${trace}`]).out.traceparent, null);
});

test("a request id that cannot be repeated in an answer is replaced by the invocation's", () => {
  const table: [string[], string][] = [
    [[], id],
    [["X-Request-Id: abc-123"], "abc-123"],
    [["X-Request-Id: two words"], id],
    [["X-Request-Id:"], id],
    [[`X-Request-Id: ${"a".repeat(201)}`], id],
  ];
  for (const [lines, expected] of table) {
    const { out } = scan(lines);
    assert.equal(out.requestId, expected);
    assert.ok(out.headers.startsWith(`x-request-id\n${expected}\n`));
  }
});

test("nothing of a request is left in the scan of the next", () => {
  const out = createHeaderScan();
  const lines = ["Host", "a", "aloft-app", "b", "content-length", "1", "expect", "x", "x-forwarded-for", "9.9.9.9"];
  scanRawHeaders([...lines, "traceparent", trace, "tracestate", "a=1", "connection", "x-hop"], peer, true, id, out);
  const fresh = createHeaderScan();
  scanRawHeaders(["x-hop", "1"], peer, true, id, out);
  scanRawHeaders(["x-hop", "1"], peer, true, id, fresh);
  assert.deepEqual(out, fresh);
});

test("headers that two readers could understand differently are refused", () => {
  const table: [string[], RegExp][] = [
    [["Host: a", "host: a"], /host/],
    [["Content-Length: 5", "Content-Length: 6"], /different/],
    [["Content-Length: 5, 5"], /not a number/],
    [["Content-Length: +5"], /not a number/],
    [["Content-Length: 0x5"], /not a number/],
    [["Content-Length:"], /not a number/],
    [["Content-Length: 9999999999999999"], /not a number/],
    [["Content-Length: 5", "Transfer-Encoding: chunked"], /both/],
    [["Transfer-Encoding: gzip, chunked"], /chunked alone/],
    [["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], /chunked alone/],
    [["Transfer-Encoding: xchunked"], /chunked alone/],
    [["aloft-app: a", "aloft-app: b"], /aloft-app/],
  ];
  for (const [lines, expected] of table) assert.match(scan(lines).complaint, expected, lines.join());
  assert.deepEqual(scan(["Content-Length: 5", "Content-Length: 5"]).pairs, ["content-length: 5", ...own]);
});

test("without a trusted proxy nobody's word about the client counts", () => {
  const { pairs, out } = scan([
    "Host: shop.localhost",
    "X-Forwarded-For: 1.1.1.1",
    "X-Forwarded-Proto: https",
    "x-forwarded-host: evil",
    "X-Forwarded-Port: 1",
    "X-Forwarded-Prefix: /x",
    "Forwarded: for=1.1.1.1",
    "X-Real-IP: 1.1.1.1",
  ]);
  assert.deepEqual(pairs, ["host: shop.localhost", ...own, "x-forwarded-host: shop.localhost"]);
  assert.deepEqual([out.remoteAddress, out.protocol], ["10.0.0.9", "http"]);
});

test("behind a trusted proxy its word is kept and added to", () => {
  const table: [string[], string[], string, string][] = [
    [[], own, "10.0.0.9", "http"],
    [
      [
        "X-Forwarded-For: 6.6.6.6, 1.1.1.1",
        "X-Forwarded-Proto: HTTPS",
        "X-Forwarded-Port: 443",
        "X-Forwarded-Host: shop.example",
      ],
      [
        "x-forwarded-for: 6.6.6.6, 1.1.1.1, 10.0.0.9",
        "x-forwarded-proto: https",
        "x-forwarded-port: 443",
        "x-forwarded-host: shop.example",
      ],
      "1.1.1.1",
      "https",
    ],
    [
      ["X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 1.1.1.1"],
      ["x-forwarded-for: 6.6.6.6, 1.1.1.1, 10.0.0.9", ...own.slice(1)],
      "1.1.1.1",
      "http",
    ],
    [["X-Forwarded-Proto: gopher"], own, "10.0.0.9", "http"],
    [
      ["X-Forwarded-Prefix: /x", "X-Real-IP: 1.1.1.1"],
      ["x-forwarded-prefix: /x", "x-real-ip: 1.1.1.1", ...own],
      "10.0.0.9",
      "http",
    ],
    [["Forwarded: for=1.1.1.1"], [...own, "forwarded: for=1.1.1.1, for=10.0.0.9;proto=http"], "10.0.0.9", "http"],
  ];
  for (const [lines, expected, address, protocol] of table) {
    const { pairs, out } = scan(lines, true);
    assert.deepEqual(pairs, expected);
    assert.deepEqual([out.remoteAddress, out.protocol], [address, protocol]);
  }
});

test("an IPv6 peer is quoted in Forwarded", () => {
  const out = createHeaderScan();
  scanRawHeaders(["Host", "a:1", "Forwarded", "for=x"], createPeer("::1", "https", 443), true, id, out);
  assert.match(out.headers, /\nforwarded\nfor=x, for="\[::1\]";proto=https;host="a:1"$/);
});

test("whatever comes in, what goes out are lower-case pairs without a platform header, and nothing ordinary is lost", () => {
  const special = ["Connection", "Aloft-X", "TE", "Proxy-X", "Keep-Alive", "X-Forwarded-For", "Upgrade", "X-Real-Ip"];
  const ordinary = ["Accept", "X-Custom", "Cookie", "User-Agent", "zed"];
  const name = fc.constantFrom(...special, ...ordinary);
  const value = fc.stringMatching(/^[ -9;-~]{0,12}$/);
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value), { maxLength: 12 }), fc.boolean(), (headers, trusts) => {
      const out = createHeaderScan();
      const raw = headers.flatMap(([key, text]) => [key, key === "Connection" ? "close" : text]);
      assert.equal(scanRawHeaders(raw, peer, trusts, id, out), "");
      const flat = out.headers.split("\n");
      assert.equal(flat.length % 2, 0);
      const names = flat.filter((_, index) => index % 2 === 0);
      assert.ok(names.every((text) => text === text.toLowerCase() && !/^(?:aloft-|proxy-|te$|connection$)/.test(text)));
      const pairs = names
        .map((text, index) => `${text}=${flat[2 * index + 1]}`)
        .filter((pair) => !pair.startsWith("x-"));
      const expected = headers.filter(([key]) => ordinary.includes(key) && !key.startsWith("X-"));
      assert.deepEqual(
        pairs,
        expected.map(([key, text]) => `${key.toLowerCase()}=${text}`),
      );
    }),
  );
});

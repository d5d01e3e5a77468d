import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddress } from "../lib/ipv4.ts";
import { isPublicAddress, listsName, networkHostFault, networkHostsOf, parseNetworkHost } from "./network.ts";

test("hosts are names, names below one, addresses and ranges, with a port or without", () => {
  const name = { kind: "name", name: "api.example.com", isWildcard: false, port: null };
  assert.deepEqual(parseNetworkHost("API.example.com"), name);
  assert.deepEqual(parseNetworkHost("api.example.com:443"), { ...name, port: 443 });
  assert.deepEqual(parseNetworkHost("*.example.com"), { ...name, name: "example.com", isWildcard: true });
  assert.deepEqual(parseNetworkHost("db"), { ...name, name: "db" });
  assert.deepEqual(parseNetworkHost("10.1.0.0/16:5432"), {
    kind: "range",
    range: { first: 0x0a01_0000, bits: 16 },
    port: 5432,
  });
  assert.deepEqual(parseNetworkHost("0.0.0.0/0"), { kind: "range", range: { first: 0, bits: 0 }, port: null });
});

test("what is no host, or may never be reached, is refused with a reason", () => {
  const cases: [string, RegExp][] = [
    ["", /is not a host/],
    ["*", /is not a host/],
    ["a..b", /is not a host/],
    ["https://example.com", /port|not a host/],
    ["example.com:0", /port/],
    ["example.com:65536", /port/],
    ["example.com:", /port/],
    ["10.0.0.1/8", /range/],
    ["::1", /IPv6/],
    ["fd00:ec2::254", /IPv6/],
    ["127.0.0.1", /no function may reach/],
    ["169.254.169.254:80", /no function may reach/],
    ["168.63.129.16", /no function may reach/],
    ["localhost", /this machine/],
    ["a.localhost", /this machine/],
  ];
  for (const [text, reason] of cases) assert.match(networkHostFault(text), reason, text);
});

test("a star stands for every name below, at any depth", () => {
  const hosts = networkHostsOf(["*.example.com", "one.org"]);
  const listed = ["a.example.com", "a.b.example.com", "one.org"];
  const others = ["example.com", "badexample.com", "a.one.org", "com", ""];
  for (const name of listed) assert.ok(listsName(hosts, name), name);
  for (const name of others) assert.ok(!listsName(hosts, name), name);
});

test("public is what belongs to no private, local or special range", () => {
  const closed = [
    "10.0.0.1",
    "100.127.255.255",
    "172.31.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "127.0.0.1",
    "0.0.0.0",
  ];
  closed.push("198.19.0.1", "224.0.0.1", "255.255.255.255", "168.63.129.16");
  for (const text of closed) assert.equal(isPublicAddress(parseAddress(text) ?? -1), false, text);
  for (const text of ["1.1.1.1", "100.128.0.1", "172.32.0.1", "192.169.0.1", "223.255.255.255"]) {
    assert.equal(isPublicAddress(parseAddress(text) ?? -1), true, text);
  }
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { isLoopback, parseHostName } from "./host-name.ts";

test("a host is read without its port, in lower case, or refused", () => {
  const table: [string, string | null][] = [
    ["hello.localhost", "name hello.localhost"],
    ["Hello.LOCALHOST:8787", "name hello.localhost"],
    ["example.com.", "name example.com"],
    ["example.com.:80", "name example.com"],
    ["example.com:", "name example.com"],
    ["xn--bcher-kva.example", "name xn--bcher-kva.example"],
    ["preview--shop.example.com", "name preview--shop.example.com"],
    ["127.0.0.1:8787", "ipv4 127.0.0.1"],
    ["[::1]:8787", "ipv6 ::1"],
    ["[2001:DB8::1]", "ipv6 2001:db8::1"],
    ["", null],
    [".", null],
    [":80", null],
    ["a..b", null],
    ["-a.b", null],
    ["a-.b", null],
    ["under_score.b", null],
    ["bücher.example", null],
    ["a b", null],
    ["a/b", null],
    ["user@host", null],
    ["host:99999", null],
    ["host:80:80", null],
    ["host:8a", null],
    ["127.1", null],
    ["1.2.3.4.5", null],
    ["256.1.1.1", null],
    ["::1", null],
    ["[::1", null],
    ["[::g]", null],
    ["[127.0.0.1]", null],
    ["a,b", null],
    [`${"a".repeat(64)}.b`, null],
    [`${"a.".repeat(127)}com`, null],
  ];
  for (const [text, expected] of table) {
    const host = parseHostName(text);
    assert.equal(host === null ? null : `${host.kind} ${host.name}`, expected, text);
  }
});

test("only names and addresses of this machine are loopback", () => {
  const table: [string, boolean][] = [
    ["localhost", true],
    ["a.localhost", true],
    ["127.0.0.1", true],
    ["127.9.9.9", true],
    ["[::1]", true],
    ["[0:0:0:0:0:0:0:1]", true],
    ["localhost.evil.com", false],
    ["notlocalhost", false],
    ["128.0.0.1", false],
    ["0.0.0.0", false],
    ["[::2]", false],
    ["127.0.0.1.nip.io", false],
  ];
  for (const [text, expected] of table) assert.equal(isLoopback(parseHostName(text)!), expected, text);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { parseResolvConf } from "./upstreams.ts";

test("the first three resolvers of a file count, comments and nonsense do not", () => {
  const text = `# nameserver 192.0.2.9
; nameserver 192.0.2.8
search example.com
nameserver 127.0.0.53 # local
  nameserver\t2001:db8::1
nameserver fe80::1%eth0
nameserver example.com
nameserver 192.0.2.4
`;
  assert.deepEqual(
    parseResolvConf(text).map(({ address }) => address),
    ["127.0.0.53", "2001:db8::1", "fe80::1%eth0"],
  );
  assert.deepEqual(parseResolvConf(""), []);
});

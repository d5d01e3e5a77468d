import assert from "node:assert/strict";
import { test } from "node:test";
import { contains, formatAddress, formatRange, parseAddress, parseRange, rangeOf } from "./ipv4.ts";

test("an address is read only as every program reads it", () => {
  assert.equal(parseAddress("255.255.255.255"), 0xffff_ffff);
  assert.equal(parseAddress("10.1.2.3"), 0x0a01_0203);
  for (const text of ["", "1.2.3", "1.2.3.4.5", "256.0.0.1", "010.0.0.1", "1.2.3.4 ", "0x7f.0.0.1"]) {
    assert.equal(parseAddress(text), null, text);
  }
  assert.equal(formatAddress(0xc0a8_0001), "192.168.0.1");
});

test("a range has no bits behind its prefix", () => {
  assert.deepEqual(parseRange("10.1.0.0/16"), { first: 0x0a01_0000, bits: 16 });
  assert.deepEqual(parseRange("0.0.0.0/0"), { first: 0, bits: 0 });
  assert.equal(formatRange(rangeOf("10.1.2.3")), "10.1.2.3");
  assert.equal(formatRange(rangeOf("10.0.0.0/8")), "10.0.0.0/8");
  for (const text of ["10.1.2.3/16", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/8/8", "/8"]) {
    assert.equal(parseRange(text), null, text);
  }
});

test("a range contains what is wholly in it", () => {
  const cases: [string, string, boolean][] = [
    ["10.0.0.0/8", "10.255.0.1", true],
    ["10.0.0.0/8", "11.0.0.0", false],
    ["10.1.0.0/16", "10.0.0.0/8", false],
    ["0.0.0.0/0", "192.168.0.0/16", true],
    ["224.0.0.0/3", "255.255.255.255", true],
  ];
  for (const [outer, inner, expected] of cases) assert.equal(contains(rangeOf(outer), rangeOf(inner)), expected, inner);
});

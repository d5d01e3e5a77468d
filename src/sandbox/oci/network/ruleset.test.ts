import assert from "node:assert/strict";
import { test } from "node:test";
import { networkHostsOf } from "../../../contract/network.ts";
import { rangeOf } from "../../../lib/ipv4.ts";
import { slotOf } from "./address-plan.ts";
import { addressRule, hostRulesOf, rulesOf } from "./ruleset.ts";

const subnet = rangeOf("198.18.0.0/16");
const slot = slotOf(subnet, 5);
const groups = { sealed: 1, none: 2, internet: 3, trial: 4 };
const resolver = { udpPort: 5353, tcpPort: 5354 };

test("a slot has its own part of the range, the server's address first and the outside's last", () => {
  assert.equal(slot.gateway, "198.18.20.1");
  assert.equal(slot.outside, "198.18.23.255");
  assert.equal(slot.prefix, "aloft5i");
  // Names of interfaces have 15 characters at the most.
  assert.ok(`${slotOf(subnet, 63).prefix}1021`.length <= 15);
});

test("a host that forwarded nothing before forwards for nobody else", () => {
  const input = { slot, subnet, groups, resolver };
  assert.match(rulesOf({ ...input, forwardsOnlyOurs: true }), /iifname != "aloft\*" oifname != "aloft\*" drop/);
  assert.doesNotMatch(rulesOf({ ...input, forwardsOnlyOurs: false }), /iifname != "aloft\*" oifname/);
});

test("a list is made of the ranges it names; what nobody may reach comes before them", () => {
  const rules = hostRulesOf(slot, 9, networkHostsOf(["10.1.0.0/16:5432", "0.0.0.0/0", "api.example.com"]));
  assert.match(rules, /jump forbidden\n +ip daddr 10\.1\.0\.0\/16 meta l4proto \{ tcp, udp \} th dport 5432 accept\n/);
  assert.match(rules, /ip daddr 0\.0\.0\.0\/0 accept\n/);
  assert.doesNotMatch(rules, /example/);
});

test("an address that is known already gets its whole time again", () => {
  assert.equal(
    addressRule(slot, 9, "203.0.113.5", 443, 1500),
    "add element inet aloft5 ports_9 { 203.0.113.5 . 443 }; delete element inet aloft5 ports_9 { 203.0.113.5 . 443 }; add element inet aloft5 ports_9 { 203.0.113.5 . 443 timeout 2s }",
  );
});

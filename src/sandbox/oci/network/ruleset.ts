/**
 * The rules of a server's instances, as text for nft. Pure, so that tests can read them.
 *
 * What an instance may reach hangs on the group number of its interface, which the host changes by writing one file: so a
 * hand-over costs no run of nft. What leaves an instance is judged packet by packet, replies come by the kernel's table of
 * connections. There is no IPv6.
 */
import { forbiddenRanges, type NetworkHost, privateRanges } from "../../../contract/network.ts";
import { type AddressRange, formatRange } from "../../../lib/ipv4.ts";
import { interfacePrefix, type Slot } from "./address-plan.ts";

/** Group numbers of interfaces, none of which means anything to another server. */
export interface Groups {
  /** Has been given to nobody yet, and reaches nothing. */
  readonly sealed: number;
  /** Reaches nothing but the resolver, which knows no name for it: that is quicker than silence. */
  readonly none: number;
  readonly internet: number;
  /** Reaches `outside` of the slot; only while the driver tries itself. */
  readonly trial: number;
}

export interface RulesInput {
  readonly slot: Slot;
  readonly subnet: AddressRange;
  readonly groups: Groups;
  readonly resolver: { readonly udpPort: number; readonly tcpPort: number };
  /** This host forwarded nothing before the server started: it must not begin to for others. */
  readonly forwardsOnlyOurs: boolean;
}

/** Of one instance at once: a connection costs the host memory for minutes after its end. */
const connectionsPerInstance = 8192;
const addressesPerPolicy = 4096;
/** An empty chain, listed to learn that what was asked before has been done. */
export const doneChain = "done";

/** Refusals by ICMP are sent at a few a second only, and a program that gets none waits for long. */
const refuse = "goto refused";
const prohibit = "reject with icmpx type admin-prohibited";

export function rulesOf({ slot, subnet, groups, resolver, forwardsOnlyOurs }: RulesInput): string {
  const ours = `"${slot.prefix}*"`;
  const { gateway } = slot;
  const anyServer = `"${interfacePrefix}*"`;
  const ports = [...new Set([resolver.udpPort, resolver.tcpPort])].join(", ");
  return `table inet ${slot.table} {
  map policies {
    typeof meta iifgroup : verdict
  }
  set connections {
    type ipv4_addr
    size 2048
    flags dynamic
  }
  chain ${doneChain} {
  }
  chain refused {
    meta l4proto tcp reject with tcp reset
    reject
  }
  chain forbidden {
    ip daddr { ${[formatRange(subnet), ...forbiddenRanges].join(", ")} } ${refuse}
  }
  chain internet {
    jump forbidden
    ip daddr { ${privateRanges.join(", ")} } ${refuse}
    accept
  }
  chain trial {
    ip daddr ${slot.outside} accept
    ${prohibit}
  }
  chain leaving {
    meta nfproto ipv6 drop
    fib saddr . iif oif missing drop
    ct state new add @connections { ip saddr ct count over ${connectionsPerInstance} } ${refuse}
    tcp flags syn tcp option maxseg size set rt mtu
    meta iifgroup vmap @policies
    ${prohibit}
  }
  chain arriving {
    ct state established,related accept
    drop
  }
  chain forward {
    type filter hook forward priority filter - 5; policy accept;
    iifname ${ours} jump leaving
    oifname ${ours} jump arriving
    ${forwardsOnlyOurs ? `iifname != ${anyServer} oifname != ${anyServer} drop` : ""}
  }
  chain input {
    type filter hook input priority filter - 5; policy accept;
    iifname ${ours} meta iifgroup != ${groups.sealed} ip daddr ${gateway} meta l4proto { tcp, udp } th dport { ${ports} } accept
    iifname ${ours} ${refuse}
    iifname != "lo" ip daddr ${formatRange(slot.range)} drop
  }
  chain output {
    type filter hook output priority filter - 5; policy accept;
    oifname ${ours} ct state established,related accept
    oifname ${ours} drop
  }
  chain resolving {
    type nat hook prerouting priority dstnat; policy accept;
    iifname ${ours} ip daddr ${gateway} udp dport 53 dnat ip to ${gateway}:${resolver.udpPort}
    iifname ${ours} ip daddr ${gateway} tcp dport 53 dnat ip to ${gateway}:${resolver.tcpPort}
  }
  chain translating {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${formatRange(slot.range)} oifname != ${ours} masquerade fully-random
  }
}
add element inet ${slot.table} policies { ${groups.none} : goto refused }
add element inet ${slot.table} policies { ${groups.internet} : goto internet }
add element inet ${slot.table} policies { ${groups.trial} : goto trial }
`;
}

/** Ends what the trial was allowed. */
export function trialEndOf({ slot, groups }: Pick<RulesInput, "slot" | "groups">): string {
  return `delete element inet ${slot.table} policies { ${groups.trial} }\n`;
}

/**
 * A list of hosts. Addresses that its names lead to are added as they are asked for, and forgotten some time later; what was
 * connected by then stays so by its mark.
 */
export function hostRulesOf({ table }: Slot, group: number, hosts: readonly NetworkHost[]): string {
  const ranges = hosts.map((host) => {
    if (host.kind !== "range") return "";
    const port = host.port === null ? "" : `meta l4proto { tcp, udp } th dport ${host.port} `;
    return `    ip daddr ${formatRange(host.range)} ${port}accept`;
  });
  return `table inet ${table} {
  set names_${group} {
    type ipv4_addr
    size ${addressesPerPolicy}
    flags timeout
  }
  set ports_${group} {
    type ipv4_addr . inet_service
    size ${addressesPerPolicy}
    flags timeout
  }
  chain hosts_${group} {
    jump forbidden
${ranges.filter((line) => line !== "").join("\n")}
    ct state established,related ct mark ${group} accept
    ip daddr @names_${group} ct mark set ${group} accept
    meta l4proto { tcp, udp } ip daddr . th dport @ports_${group} ct mark set ${group} accept
    ${refuse}
  }
}
add element inet ${table} policies { ${group} : goto hosts_${group} }
`;
}

export function hostRulesEndOf({ table }: Slot, group: number): string {
  return [
    `delete element inet ${table} policies { ${group} }`,
    `delete chain inet ${table} hosts_${group}`,
    `delete set inet ${table} names_${group}`,
    `delete set inet ${table} ports_${group}`,
    "",
  ].join("\n");
}

/** One address that a name leads to, for so long from now on, whether it was known before or not. */
export function addressRule({ table }: Slot, group: number, address: string, port: number | null, ms: number): string {
  const set = `inet ${table} ${port === null ? "names" : "ports"}_${group}`;
  const key = port === null ? address : `${address} . ${port}`;
  // An element that is there keeps its time, so it is put in anew.
  const element = `element ${set} { ${key}`;
  return `add ${element} }; delete ${element} }; add ${element} timeout ${Math.ceil(ms / 1000)}s }`;
}

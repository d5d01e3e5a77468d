/**
 * The way of instances to the network: a namespace for each (`namespaces.ts`), rules for what it may reach (`ruleset.ts`,
 * `policies.ts`), a resolver for all (`resolver.ts`). An instance reaches nothing until it is given a policy.
 */
import { randomInt } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import { AloftError } from "../../../contract/errors.ts";
import type { NetworkPolicy } from "../../../contract/network.ts";
import type { Clock } from "../../../lib/clock.ts";
import { type AddressRange, parseAddress } from "../../../lib/ipv4.ts";
import type { Slot } from "./address-plan.ts";
import { claimHostSide, releaseHostSide } from "./host-side.ts";
import {
  namespaceCommands,
  namespaceFolder,
  Namespaces,
  type NetworkNamespace,
  removeNamespaces,
} from "./namespaces.ts";
import { NftSession, runNft } from "./nft.ts";
import { type HostList, HostLists } from "./policies.ts";
import { findProgram, runProgram } from "./programs.ts";
import { type NameAccess, type NameRules, openResolver } from "./resolver.ts";
import { type Groups, rulesOf, trialEndOf } from "./ruleset.ts";
import { type Upstream, upstreamsOf } from "./upstreams.ts";

export interface NetworkOptions {
  /** For notes about this host; of this server alone. */
  readonly runFolder: string;
  /** A /16 of addresses that nobody else on this host uses. */
  readonly subnet: AddressRange;
  /** null: those of /etc/resolv.conf. */
  readonly resolver: Upstream | null;
  readonly clock: Clock;
}

/** One instance's own, or that of several which share it. */
export interface InstanceNetwork {
  /** Of the namespace. */
  readonly path: string;
  /** Shell commands that make the namespace first; "" when it is there. */
  readonly making: string;
  /** At once, but for a list of hosts that is used for the first time. `onRefusedName`: at each question for another name. */
  setPolicy(policy: NetworkPolicy, onRefusedName: (name: string) => void): void | Promise<void>;
  /** Reaches `trialAddress` and nothing else, until `endTrial`. */
  setTrial(): void;
  /** One more that uses it. */
  hold(): void;
  /** One less; with the last one it goes. */
  letGo(): void;
}

export interface Network {
  /** What instances have as resolver. */
  readonly gateway: string;
  readonly trialAddress: string;
  /** Throws SANDBOX_START_FAILED. */
  take(): InstanceNetwork;
  /** Somebody is at `trialAddress`, who answers nothing but that nobody listens. */
  startTrial(): Promise<void>;
  endTrial(): Promise<void>;
  /** What instances use has been let go. */
  close(): Promise<void>;
}

const anyName: NameRules = { allows: () => true, open: async () => {} };
const noName: NameRules = { allows: () => false, open: async () => {} };

/** Throws SANDBOX_UNAVAILABLE, which says what is missing. */
export async function openNetwork(options: NetworkOptions): Promise<Network> {
  const { clock, runFolder, subnet } = options;
  assertPrograms();
  const upstreams = upstreamsOf(options.resolver);
  if (upstreams().length === 0) {
    throw missing("/etc/resolv.conf names no resolver", "name one there, or with --sandbox-resolver");
  }
  const { slot, forwardsOnlyOurs } = claim(runFolder, subnet);
  const accesses = new Map<number, NameAccess>();
  const resolver = await openResolver({
    address: slot.gateway,
    upstreams,
    accessOf: (address) => accesses.get(address) ?? null,
  });
  // Of a server that used the slot before nobody is left, but connections that it marked may be.
  const first = randomInt(0x1000_0000, 0x7000_0000);
  const groups: Groups = { sealed: first, none: first + 1, internet: first + 2, trial: first + 3 };
  const session = new NftSession(slot.table);
  const namespaces = new Namespaces({ slot, sealed: groups.sealed, clock });
  const lists = new HostLists({ slot, firstGroup: first + 4, session, clock });

  let closing: Promise<void> | null = null;

  async function closeAll(): Promise<void> {
    await namespaces.close();
    session.close();
    await resolver.close();
    releaseHostSide(runFolder);
  }

  async function close(): Promise<void> {
    closing ??= closeAll();
    await closing;
  }

  try {
    await runNft(`table inet ${slot.table}\ndelete table inet ${slot.table}\n`);
    await runNft(rulesOf({ slot, subnet, groups, resolver, forwardsOnlyOurs }));
  } catch (error) {
    await close();
    throw missing(`nft does not take its rules: ${(error as Error).message}`, "its kernel needs nf_tables");
  }
  const outside = outsideOf(slot);
  namespaces.prepare();
  return {
    gateway: slot.gateway,
    trialAddress: slot.outside,
    take: () => new OwnNetwork({ ...namespaces.take(), namespaces, groups, lists, accesses }),
    async startTrial() {
      const commands = namespaceCommands(slot, groups.sealed, [outside], existsSync("/proc/sys/net/ipv6"));
      try {
        await runProgram("/bin/sh", ["-s"], commands);
      } catch (error) {
        throw missing(`a network namespace cannot be made: ${(error as Error).message}`, "");
      }
      if (existsSync(groupFileOf(outside.name))) return;
      throw missing("/sys does not show the network devices of the server's own namespace", "mount sysfs there");
    },
    async endTrial() {
      await removeNamespaces([outside.name]);
      await runNft(trialEndOf({ slot, groups }));
    },
    close,
  };
}

function outsideOf(slot: Slot): NetworkNamespace {
  const name = slot.outsideName;
  return { place: 0, name, path: `${namespaceFolder}/${name}`, address: parseAddress(slot.outside) ?? 0 };
}

function groupFileOf(name: string): string {
  return `/sys/class/net/${name}/netdev_group`;
}

function assertPrograms(): void {
  const packages: Readonly<Record<string, string>> = { ip: "iproute2", nft: "nftables", nsenter: "util-linux" };
  const absent = Object.keys(packages).filter((program) => findProgram(program) === null);
  if (absent.length === 0) return;
  const names = absent.map((program) => packages[program]).join(" ");
  throw missing(
    `${absent.join(" and ")} ${absent.length > 1 ? "are" : "is"} not installed`,
    `apt-get install ${names}`,
  );
}

function claim(runFolder: string, subnet: AddressRange): ReturnType<typeof claimHostSide> {
  try {
    return claimHostSide(runFolder, subnet);
  } catch (error) {
    releaseHostSide(runFolder);
    throw missing((error as Error).message, "");
  }
}

function missing(what: string, advice: string): AloftError {
  const hint = `${advice === "" ? "" : `${advice}; `}--sandbox-network none goes without a network, --sandbox process without a wall`;
  return new AloftError("SANDBOX_UNAVAILABLE", `the oci sandbox cannot give functions a network here: ${what}`, {
    hint,
  });
}

interface OwnNetworkParts {
  readonly namespace: NetworkNamespace;
  readonly making: string;
  readonly namespaces: Namespaces;
  readonly groups: Groups;
  readonly lists: HostLists;
  /** What each address may ask the resolver for. */
  readonly accesses: Map<number, NameAccess>;
}

class OwnNetwork implements InstanceNetwork {
  readonly path: string;
  readonly making: string;
  readonly #parts: OwnNetworkParts;
  #users = 1;
  #list: HostList | null = null;

  constructor(parts: OwnNetworkParts) {
    this.path = parts.namespace.path;
    this.making = parts.making;
    this.#parts = parts;
  }

  setPolicy(policy: NetworkPolicy, onRefusedName: (name: string) => void): void | Promise<void> {
    const { groups, lists } = this.#parts;
    if (policy === "none") return this.#set(groups.none, accessBy(noName, onRefusedName), null);
    if (policy === "internet") return this.#set(groups.internet, accessBy(anyName, onRefusedName), null);
    const list = lists.hold(policy);
    const access = accessBy(list, onRefusedName);
    if (list.making === null) return this.#set(list.group, access, list);
    return list.making.then(
      () => this.#set(list.group, access, list),
      (error: unknown) => {
        lists.letGo(list);
        throw error;
      },
    );
  }

  setTrial(): void {
    const access = accessBy(noName, () => {});
    this.#set(this.#parts.groups.trial, access, null);
  }

  hold(): void {
    this.#users += 1;
  }

  letGo(): void {
    this.#users -= 1;
    if (this.#users > 0) return;
    const { namespace, namespaces, accesses, lists } = this.#parts;
    accesses.delete(namespace.address);
    if (this.#list !== null) lists.letGo(this.#list);
    this.#list = null;
    namespaces.giveBack(namespace);
  }

  #set(group: number, access: NameAccess, list: HostList | null): void {
    const { namespace, accesses, lists } = this.#parts;
    // Its last user may have ended while the rules were made.
    if (this.#users === 0) {
      if (list !== null) lists.letGo(list);
      return;
    }
    accesses.set(namespace.address, access);
    if (this.#list !== null) lists.letGo(this.#list);
    this.#list = list;
    writeFileSync(groupFileOf(namespace.name), String(group));
  }
}

/** Lists are shared by instances; who hears of what is refused is each one's own. */
function accessBy(rules: NameRules, refused: (name: string) => void): NameAccess {
  return { allows: (name) => rules.allows(name), open: (name, addresses) => rules.open(name, addresses), refused };
}

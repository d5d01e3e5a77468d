/**
 * Lists of hosts in use: instances with the same list share a group number, its rules, and the addresses its names have led
 * to. The rules are made when a list is first used and go some time after nobody uses it.
 */
import type { NetworkHost } from "../../../contract/network.ts";
import { isPublicAddress, listsName, matchesName, networkHostsOf } from "../../../contract/network.ts";
import type { Clock } from "../../../lib/clock.ts";
import { formatAddress } from "../../../lib/ipv4.ts";
import type { Slot } from "./address-plan.ts";
import type { FoundAddress } from "./dns-message.ts";
import { type NftSession, runNft } from "./nft.ts";
import type { NameRules } from "./resolver.ts";
import { addressRule, hostRulesEndOf, hostRulesOf } from "./ruleset.ts";

export interface HostList extends NameRules {
  readonly group: number;
  /** null: its rules are there. */
  readonly making: Promise<void> | null;
}

/** Beyond it lists that nobody uses go, the longest unused first. */
const listsKept = 256;
/** A program may keep an address for longer than it may by the answer. */
const openMinMs = 10 * 60_000;
const openMaxMs = 24 * 60 * 60_000;
const addressesPerAnswer = 64;
/** Answers with these are passed on as they came, so a list may hold so many. */
const knownMax = 4096;

export interface HostListsOptions {
  readonly slot: Slot;
  readonly firstGroup: number;
  readonly session: NftSession;
  readonly clock: Pick<Clock, "monotonicMs">;
}

export class HostLists {
  readonly #options: HostListsOptions;
  /** By the text of the list; the longest unused first. */
  readonly #lists = new Map<string, OpenList>();
  #nextGroup: number;

  constructor(options: HostListsOptions) {
    this.#options = options;
    this.#nextGroup = options.firstGroup;
  }

  /** Held until it is let go as often. */
  hold(texts: readonly string[]): HostList {
    const key = JSON.stringify(texts.toSorted());
    let list = this.#lists.get(key);
    if (list === undefined) {
      list = new OpenList(this.#options, this.#nextGroup, networkHostsOf(texts));
      this.#nextGroup += 1;
    }
    this.#lists.delete(key);
    this.#lists.set(key, list);
    list.users += 1;
    this.#forgetUnused();
    return list;
  }

  letGo(list: HostList): void {
    (list as OpenList).users -= 1;
  }

  #forgetUnused(): void {
    for (const [key, list] of this.#lists) {
      if (this.#lists.size <= listsKept) return;
      if (list.users > 0) continue;
      this.#lists.delete(key);
      list.end();
    }
  }
}

class OpenList implements HostList {
  readonly group: number;
  making: Promise<void> | null;
  users = 0;
  readonly #options: HostListsOptions;
  readonly #hosts: readonly NetworkHost[];
  /** When what is open closes again, by address and port. */
  readonly #openUntilMs = new Map<string, number>();

  constructor(options: HostListsOptions, group: number, hosts: readonly NetworkHost[]) {
    this.#options = options;
    this.group = group;
    this.#hosts = hosts;
    this.making = runNft(hostRulesOf(options.slot, group, hosts)).then(() => {
      this.making = null;
    });
    // Whoever waits for it hears it as well.
    this.making.catch(() => {});
  }

  allows(name: string): boolean {
    return listsName(this.#hosts, name);
  }

  async open(name: string, addresses: readonly FoundAddress[]): Promise<void> {
    const ports = this.#hosts.flatMap((host) => (host.kind === "name" && matchesName(host, name) ? [host.port] : []));
    const nowMs = this.#options.clock.monotonicMs();
    const opening: Promise<void>[] = [];
    for (const { address, ttlMs } of addresses.slice(0, addressesPerAnswer)) {
      // A name that leads into somebody's own network opens nothing there: its owner need not be the app's friend.
      if (!isPublicAddress(address)) continue;
      const forMs = Math.min(openMaxMs, Math.max(openMinMs, ttlMs));
      for (const port of ports.includes(null) ? [null] : ports) {
        opening.push(this.#open(formatAddress(address), port, nowMs, forMs));
      }
    }
    await Promise.all(opening);
  }

  end(): void {
    const rules = hostRulesEndOf(this.#options.slot, this.group);
    void (this.making ?? Promise.resolve()).then(() => runNft(rules)).catch(() => {});
  }

  async #open(address: string, port: number | null, nowMs: number, forMs: number): Promise<void> {
    const key = `${address} ${port}`;
    // While more than half of it is left nothing is to be done.
    if ((this.#openUntilMs.get(key) ?? 0) - nowMs > forMs / 2) return;
    if (this.#openUntilMs.size >= knownMax) this.#openUntilMs.clear();
    const { slot, session } = this.#options;
    await session.run(addressRule(slot, this.group, address, port, forMs));
    this.#openUntilMs.set(key, nowMs + forMs);
  }
}

/**
 * Network namespaces of instances. Each has its loopback and one interface, `eth0`, whose other end is on the host; an
 * instance cannot change it, for it belongs to the host's user namespace and not to the instance's own.
 *
 * Making one takes 25 to 40 ms of processor time, so a few are made ahead and wait. When there is none, the shell that
 * starts the runtime makes it first.
 */
import { existsSync } from "node:fs";
import { formatAddress } from "../../../lib/ipv4.ts";
import type { Clock } from "../../../lib/clock.ts";
import { addressOf, PlaceNumbers, type Slot } from "./address-plan.ts";
import { runProgram } from "./programs.ts";

export interface NetworkNamespace {
  readonly place: number;
  /** Of the namespace, and of its interface on the host. */
  readonly name: string;
  readonly path: string;
  readonly address: number;
}

export const namespaceFolder = "/run/netns";
/** A start takes longer than making the next one. */
const sparesKept = 4;
const hostMac = "02:00:00:00:00:01";
const insideMac = "02:00:00:00:00:02";

export interface NamespacesOptions {
  readonly slot: Slot;
  /** Group number of an interface that has been given to nobody. */
  readonly sealed: number;
  readonly clock: Pick<Clock, "monotonicMs">;
}

export class Namespaces {
  readonly #options: NamespacesOptions;
  readonly #numbers: PlaceNumbers;
  readonly #spares: NetworkNamespace[] = [];
  readonly #unwanted: NetworkNamespace[] = [];
  #making: Promise<void> | null = null;
  #removing: Promise<void> | null = null;
  #makesSpares = true;

  constructor(options: NamespacesOptions) {
    this.#options = options;
    this.#numbers = new PlaceNumbers(options.clock);
  }

  /** One, and the shell commands that make it first; "" when it is there. Throws SANDBOX_START_FAILED. */
  take(): { readonly namespace: NetworkNamespace; readonly making: string } {
    const spare = this.#spares.shift();
    const namespace = spare ?? this.#next();
    this.prepare();
    return { namespace, making: spare === undefined ? this.#commands([namespace]) : "" };
  }

  /** Makes what is missing of those that wait, out of the way of everything else. */
  prepare(): void {
    if (!this.#makesSpares || this.#making !== null || this.#spares.length >= sparesKept) return;
    this.#making = this.#makeSpares().then(() => {
      this.#making = null;
      this.prepare();
    });
  }

  /** It goes in a moment, together with others. */
  giveBack(namespace: NetworkNamespace): void {
    this.#unwanted.push(namespace);
    this.#removing ??= this.#removeUnwanted();
  }

  /** Resolves when none is left. Those that are in use have been given back. */
  async close(): Promise<void> {
    this.#makesSpares = false;
    await this.#making;
    for (const spare of this.#spares.splice(0)) this.giveBack(spare);
    await this.#removing;
  }

  #next(): NetworkNamespace {
    const { slot } = this.#options;
    const place = this.#numbers.take();
    const name = `${slot.prefix}${place}`;
    return { place, name, path: `${namespaceFolder}/${name}`, address: addressOf(slot, place) };
  }

  async #makeSpares(): Promise<void> {
    const made: NetworkNamespace[] = [];
    try {
      while (this.#spares.length + made.length < sparesKept) made.push(this.#next());
      await runProgram("nice", ["-n", "10", "/bin/sh", "-s"], this.#commands(made));
      this.#spares.push(...made);
    } catch {
      // Whoever needs one makes it, and says what is wrong.
      for (const each of made) this.giveBack(each);
      this.#makesSpares = false;
    }
  }

  async #removeUnwanted(): Promise<void> {
    // Those that end in one turn of the event loop go together.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#unwanted.length > 0) {
      const going = this.#unwanted.splice(0);
      await removeNamespaces(going.map(({ name }) => name));
      for (const { place } of going) this.#numbers.giveBack(place);
    }
    this.#removing = null;
  }

  #commands(namespaces: readonly NetworkNamespace[]): string {
    const { slot, sealed } = this.#options;
    return namespaceCommands(slot, sealed, namespaces, existsSync("/proc/sys/net/ipv6"));
  }
}

/** Neighbours are written down, so nobody has to ask for them, or can answer for somebody else. */
export function namespaceCommands(
  { gateway }: Slot,
  group: number,
  namespaces: readonly NetworkNamespace[],
  hasIpv6: boolean,
): string {
  const outside = namespaces.flatMap(({ name, address }) => [
    `netns add ${name}`,
    `link add ${name} address ${hostMac} type veth peer name eth0 address ${insideMac} netns ${name}`,
    ...(hasIpv6 ? [`link set ${name} addrgenmode none`] : []),
    `link set ${name} group ${group} up`,
    `neigh replace ${formatAddress(address)} lladdr ${insideMac} dev ${name} nud permanent`,
    `route add ${formatAddress(address)}/32 dev ${name}`,
  ]);
  const inside = namespaces.flatMap(({ path, address }) => [
    // Programs that listen on port 80 are usual, and nobody else's ports are here.
    `nsenter --net=${path} /bin/sh -ec 'echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start; exec ip -batch -' <<'END'`,
    "link set lo up",
    ...(hasIpv6 ? ["link set eth0 addrgenmode none"] : []),
    `addr add ${formatAddress(address)}/32 dev eth0`,
    "link set eth0 up",
    `neigh replace ${gateway} lladdr ${hostMac} dev eth0 nud permanent`,
    `route add ${gateway} dev eth0 scope link`,
    `route add default via ${gateway} dev eth0 src ${formatAddress(address)}`,
    "END",
  ]);
  return ["set -e", "ip -batch - <<'END'", ...outside, "END", ...inside, ""].join("\n");
}

/** Those that are not there are passed over. */
export async function removeNamespaces(names: readonly string[]): Promise<void> {
  const lines = names.flatMap((name) => [`link del ${name}`, `netns del ${name}`]);
  await runProgram("ip", ["-force", "-batch", "-"], `${lines.join("\n")}\n`).catch(() => {});
}

/**
 * Which addresses and names the instances of one server have. All servers of a host share one /16, of which each claims a
 * /22, its slot:
 *
 *   first + 1       the server's side, on the host's loopback device: what instances have as router and resolver
 *   first + 2 ...   instances, one each
 *   last            stands for the outside while the driver tries itself
 *
 * An interface of the host and the namespace behind it have the same name: `aloft`, the slot, `i`, the place in it.
 */
import { AloftError } from "../../../contract/errors.ts";
import type { Clock } from "../../../lib/clock.ts";
import { type AddressRange, formatAddress } from "../../../lib/ipv4.ts";

export const slotCount = 64;
const slotBits = 22;
const slotAddresses = 2 ** (32 - slotBits);
const instancesPerSlot = slotAddresses - 3;
/** What the former holder of an address was connected to is forgotten by then. */
const restMs = 60_000;

export interface Slot {
  readonly number: number;
  readonly range: AddressRange;
  readonly gateway: string;
  readonly outside: string;
  /** Of the names of its instances' interfaces. */
  readonly prefix: string;
  /** The interface of what stands for the outside. */
  readonly outsideName: string;
  readonly table: string;
}

/** Of every server's interfaces on this host. */
export const interfacePrefix = "aloft";

export function slotOf(subnet: AddressRange, number: number): Slot {
  const first = subnet.first + number * slotAddresses;
  return {
    number,
    range: { first, bits: slotBits },
    gateway: formatAddress(first + 1),
    outside: formatAddress(first + slotAddresses - 1),
    prefix: `${interfacePrefix}${number}i`,
    outsideName: `${interfacePrefix}${number}out`,
    table: `${interfacePrefix}${number}`,
  };
}

/** Places in a slot; those given back rest, the longest rested first. */
export class PlaceNumbers {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #resting: { readonly number: number; readonly untilMs: number }[] = [];
  #taken = 0;

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  /** Throws SANDBOX_START_FAILED when all are in use or rest. */
  take(): number {
    if (this.#taken < instancesPerSlot) {
      this.#taken += 1;
      return this.#taken;
    }
    const [oldest] = this.#resting;
    if (oldest !== undefined && this.#clock.monotonicMs() >= oldest.untilMs) {
      this.#resting.shift();
      return oldest.number;
    }
    throw new AloftError("SANDBOX_START_FAILED", `all ${instancesPerSlot} addresses for instances are in use`, {
      hint: `one server has so many instances with a network at the most; addresses rest for ${restMs / 1000} s`,
    });
  }

  giveBack(number: number): void {
    this.#resting.push({ number, untilMs: this.#clock.monotonicMs() + restMs });
  }
}

export function addressOf(slot: Slot, place: number): number {
  return slot.range.first + 1 + place;
}

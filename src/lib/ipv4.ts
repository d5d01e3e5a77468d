/** IPv4 addresses as numbers, and ranges of them. */

export interface AddressRange {
  readonly first: number;
  /** How many leading bits are the same for all of it: 32 is a single address. */
  readonly bits: number;
}

/** null when it is none. */
export function parseAddress(text: string): number | null {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1);
  // A leading zero means an octal number to some and a decimal one to others.
  if (parts === undefined || parts.some((part) => Number(part) > 255 || /^0\d/.test(part))) return null;
  return parts.reduce((address, part) => address * 256 + Number(part), 0);
}

export function formatAddress(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join(".");
}

/** "10.1.2.3" or "10.1.0.0/16". null when it is neither, or when bits behind the prefix are set. */
export function parseRange(text: string): AddressRange | null {
  const [addressText = "", bitsText = "32", ...rest] = text.split("/");
  const first = parseAddress(addressText);
  if (first === null || rest.length > 0 || !/^\d{1,2}$/.test(bitsText)) return null;
  const bits = Number(bitsText);
  return bits > 32 || first % 2 ** (32 - bits) !== 0 ? null : { first, bits };
}

/** Of a text that is known to be one. */
export function rangeOf(text: string): AddressRange {
  const range = parseRange(text);
  if (range === null) throw new Error(`${text} is not a range of addresses`);
  return range;
}

export function formatRange({ first, bits }: AddressRange): string {
  return bits === 32 ? formatAddress(first) : `${formatAddress(first)}/${bits}`;
}

/** Whether the whole of `inner` is in `outer`. */
export function contains(outer: AddressRange, inner: AddressRange): boolean {
  if (inner.bits < outer.bits) return false;
  return Math.floor(inner.first / 2 ** (32 - outer.bits)) === Math.floor(outer.first / 2 ** (32 - outer.bits));
}

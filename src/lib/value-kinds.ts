/** Kinds of values that people write in settings: what each accepts, in words and in code. */
import { isIP } from "node:net";
import { join, resolve } from "node:path";
import { formatDuration, parseDurationMs } from "./durations.ts";
import { type AddressRange, parseRange } from "./ipv4.ts";
import { parseBytes } from "./sizes.ts";

/** What a value is read against: relative paths start at `folder`, shares are of `memoryBytes`. */
export interface Surroundings {
  readonly folder: string;
  readonly home: string;
  readonly memoryBytes: number;
}

export interface ValueKind<T> {
  /** What is allowed, to follow "allowed is". */
  readonly allowed: string;
  /** Stands for the value in usage lines; "" for a switch. */
  readonly placeholder: string;
  /** undefined: not allowed. */
  readonly parse: (text: string, surroundings: Surroundings) => T | undefined;
}

export const truth: ValueKind<boolean> = {
  allowed: "true or false",
  placeholder: "",
  parse: (text) => (text === "true" ? true : text === "false" ? false : undefined),
};

export function wholeNumber(min: number, max: number, placeholder: string): ValueKind<number> {
  return {
    allowed: `a whole number from ${min} to ${max}`,
    placeholder,
    parse: (text) => (/^\d{1,9}$/.test(text) ? within(Number(text), min, max) : undefined),
  };
}

/** Numbers of users: the first one, and how many. */
export const idRange: ValueKind<{ readonly first: number; readonly count: number }> = {
  allowed: "FIRST:COUNT, at least 1000 and 4 numbers, below 4294967295",
  placeholder: "FIRST:COUNT",
  parse: (text) => {
    const [, first, count] = /^(\d{4,10}):(\d{1,10})$/.exec(text)?.map(Number) ?? [];
    if (first === undefined || count === undefined || first < 1000 || count < 4) return undefined;
    return first + count < 0xffff_ffff ? { first, count } : undefined;
  },
};

/** IPv4 addresses that have so many leading bits in common. */
export function addressRange(bits: number): ValueKind<AddressRange> {
  return {
    allowed: `a range of IPv4 addresses that ends in /${bits}`,
    placeholder: "RANGE",
    parse: (text) => {
      const range = parseRange(text);
      return range?.bits === bits ? range : undefined;
    },
  };
}

/** `ADDRESS`, `ADDRESS:PORT` or `[ADDRESS]:PORT`. */
export function addressAndPort(port: number): ValueKind<{ readonly address: string; readonly port: number }> {
  return {
    allowed: "an IP address, with a port or without",
    placeholder: "ADDRESS[:PORT]",
    parse: (text) => {
      if (isIP(text) !== 0) return { address: text, port };
      const [, address = "", portText] = /^\[?([^\]]*)\]?:(\d{1,5})$/.exec(text) ?? [];
      const given = within(Number(portText), 1, 65_535);
      return given === undefined || isIP(address) === 0 ? undefined : { address, port: given };
    },
  };
}

/** Bytes. */
export function size(min: string, max: string): ValueKind<number> {
  return {
    allowed: `a size from ${min} to ${max}, such as 100MiB`,
    placeholder: "SIZE",
    parse: (text) => within(parseBytes(text), parseBytes(min) ?? 0, parseBytes(max) ?? 0),
  };
}

/** Bytes, written as a size or as a share of the machine's memory. */
export function memory(min: string): ValueKind<number> {
  return {
    allowed: `a size of at least ${min} such as 4GiB, or a share of the machine's memory such as 70%`,
    placeholder: "SIZE",
    parse: (text, { memoryBytes }) => {
      const share = /^(\d{1,3})%$/.exec(text);
      if (share === null) return within(parseBytes(text), parseBytes(min) ?? 0, Number.MAX_SAFE_INTEGER);
      const percent = within(Number(share[1]), 1, 100);
      return percent === undefined ? undefined : Math.floor((memoryBytes * percent) / 100);
    },
  };
}

/** Milliseconds. */
export function duration(minMs: number, maxMs: number): ValueKind<number> {
  return {
    allowed: `a duration from ${formatDuration(minMs)} to ${formatDuration(maxMs)}, such as 10s or 7d`,
    placeholder: "DURATION",
    parse: (text) => within(parseDurationMs(text), minMs, maxMs),
  };
}

export function oneOf<const Choice extends string>(choices: readonly Choice[]): ValueKind<Choice> {
  return {
    allowed: `${choices.slice(0, -1).join(", ")} or ${choices.at(-1)}`,
    placeholder: choices.join("|"),
    parse: (text) => choices.find((choice) => choice === text),
  };
}

/** An absolute path; `~/` is the home folder. */
export function path(what: string, placeholder: string): ValueKind<string> {
  return {
    allowed: `the path of ${what}`,
    placeholder,
    parse: (text, { folder, home }) => {
      if (text === "" || text.includes("\0")) return undefined;
      return text === "~" || text.startsWith("~/") ? join(home, text.slice(1)) : resolve(folder, text);
    },
  };
}

export const hostName: ValueKind<string> = {
  allowed: "an IP address or a host name",
  placeholder: "ADDRESS",
  parse: (text) => {
    const pattern = /^(?:[0-9a-f:]*:[0-9a-f:.]*|[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)$/i;
    return text.length <= 253 && pattern.test(text) ? text : undefined;
  },
};

export const lowerCaseDomain: ValueKind<string> = {
  allowed: "a domain name in lower case, without port",
  placeholder: "DOMAIN",
  parse: (text) => {
    const label = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";
    // 63 more are for the name of an app in front of it.
    return text.length <= 189 && new RegExp(`^${label}(?:\\.${label})*$`).test(text) ? text : undefined;
  },
};

function within(value: number | null, min: number, max: number): number | undefined {
  return value !== null && value >= min && value <= max ? value : undefined;
}

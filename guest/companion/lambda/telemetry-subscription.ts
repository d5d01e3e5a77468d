/** The body of a subscription to the Telemetry API or the Logs API, read as unknown input. */
import type { Category } from "./platform-events.ts";

export type Destination =
  | { readonly protocol: "HTTP"; readonly port: number; readonly path: string; readonly method: "POST" | "PUT" }
  | { readonly protocol: "TCP"; readonly port: number };

export interface Buffering {
  readonly maxItems: number;
  readonly maxBytes: number;
  readonly timeoutMs: number;
}

export interface Subscription {
  readonly api: "telemetry" | "logs";
  readonly types: readonly Category[];
  readonly destination: Destination;
  readonly buffering: Buffering;
}

/** Thrown for what AWS answers 400 to. */
export class SubscriptionError extends Error {
  override readonly name = "SubscriptionError";
}

/** [standard, least, most], as AWS documents them for both APIs. */
const ranges = {
  maxItems: [10_000, 1000, 10_000],
  maxBytes: [262_144, 262_144, 1_048_576],
  timeoutMs: [1000, 25, 30_000],
} as const;

const versions = {
  telemetry: ["2022-07-01", "2022-12-13", "2025-01-29"],
  logs: ["2020-08-15", "2021-03-18"],
} as const;

/** The names by which code in the environment reaches its own listener. */
const ownNames: ReadonlySet<string> = new Set(["sandbox.localdomain", "sandbox"]);

export function parseSubscription(api: Subscription["api"], body: string): Subscription {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch (error) {
    throw new SubscriptionError(`failed to parse JSON: ${(error as Error).message}`);
  }
  const { schemaVersion, types, destination, buffering } = objectOf(value, "the subscription");
  // The Logs API came before its versions did.
  const isVersionNeeded = api === "telemetry" || schemaVersion !== undefined;
  if (isVersionNeeded && !(versions[api] as readonly unknown[]).includes(schemaVersion)) {
    throw new SubscriptionError(`schemaVersion must be one of ${versions[api].join(", ")}`);
  }
  return {
    api,
    types: typesOf(types),
    destination: destinationOf(objectOf(destination, "destination")),
    buffering: bufferingOf(buffering === undefined ? {} : objectOf(buffering, "buffering")),
  };
}

function typesOf(value: unknown): readonly Category[] {
  const known: readonly unknown[] = ["platform", "function", "extension"];
  if (!Array.isArray(value) || value.length === 0 || !value.every((one) => known.includes(one))) {
    throw new SubscriptionError("types must be a list of platform, function and extension");
  }
  return [...new Set(value as Category[])];
}

function destinationOf({ protocol, URI: uri, port, method }: Record<string, unknown>): Destination {
  if (protocol === "TCP") {
    if (typeof port !== "number" || !Number.isInteger(port) || port < 1 || port > 65_535) {
      throw new SubscriptionError("destination.port must be a port number");
    }
    return { protocol, port };
  }
  if (protocol !== "HTTP") throw new SubscriptionError("destination.protocol must be HTTP or TCP");
  const url = typeof uri === "string" && URL.canParse(uri) ? new URL(uri) : null;
  if (url === null || url.protocol !== "http:" || !ownNames.has(url.hostname)) {
    throw new SubscriptionError("destination.URI must be http://sandbox.localdomain with a port and a path");
  }
  return {
    protocol,
    port: url.port === "" ? 80 : Number(url.port),
    path: `${url.pathname}${url.search}`,
    method: method === "PUT" ? "PUT" : "POST",
  };
}

function bufferingOf(given: Record<string, unknown>): Buffering {
  const read = (name: keyof typeof ranges): number => {
    const [standard, min, max] = ranges[name];
    const value = given[name];
    if (value === undefined || value === null) return standard;
    if (typeof value === "number" && Number.isInteger(value) && value >= min && value <= max) return value;
    throw new SubscriptionError(`buffering.${name} must be a whole number from ${min} to ${max}`);
  };
  return { maxItems: read("maxItems"), maxBytes: read("maxBytes"), timeoutMs: read("timeoutMs") };
}

function objectOf(value: unknown, what: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new SubscriptionError(`${what} must be an object`);
}

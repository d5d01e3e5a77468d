/** What a guest says of state is unknown input: its outer shape is parsed here, arguments by the kind of state they name. */
import type { Effect, ResourceKind, Seen, StateCommit, StateRead } from "./effects.ts";

const kinds: ReadonlySet<unknown> = new Set<ResourceKind>(["kv", "blob", "queue", "stream", "async"]);

/** Throws an Error. */
export function parseRead(value: unknown): StateRead {
  return parseEffect(value);
}

/** Throws an Error that says what is wrong with it. */
export function parseStateCommit(value: unknown): StateCommit {
  if (!isRecord(value) || !Array.isArray(value["seen"]) || !Array.isArray(value["effects"]))
    throw new Error("a commit has no lists of what was seen and of effects");
  return { seen: value["seen"].map((one) => parseSeen(one)), effects: value["effects"].map((one) => parseEffect(one)) };
}

/** Throws an Error. */
export function parseEffect(value: unknown): Effect {
  if (!isRecord(value) || !kinds.has(value["resource"])) throw new Error("an effect names no kind of state");
  const { resource, name, method, args } = value;
  if (typeof name !== "string" || typeof method !== "string") throw new Error("an effect has no name or method");
  return { resource: resource as ResourceKind, name, method, args: isRecord(args) ? args : {} };
}

/** Throws an Error. */
export function parseSeen(value: unknown): Seen {
  if (!isRecord(value) || !kinds.has(value["resource"]) || typeof value["name"] !== "string") {
    throw new Error("something seen names no state");
  }
  const resource = value["resource"] as ResourceKind;
  const { name, key, version, start, end, count, highest } = value;
  if (typeof key === "string") return { resource, name, key, version: wholeNumber(version) };
  if (typeof start !== "string" || (end !== null && typeof end !== "string"))
    throw new Error("something seen has no key");
  return { resource, name, start, end, count: wholeNumber(count), highest: wholeNumber(highest) };
}

function wholeNumber(value: unknown): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw new Error("something seen has a number that is none");
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

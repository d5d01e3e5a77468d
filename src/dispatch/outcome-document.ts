/** The outcome that a guest tells is unknown input: its outer shape is parsed here, each effect by the resource it names. */
import type { Effect, OutcomeDocument, OutcomeError, ResourceKind, Seen } from "../wire/effects.ts";

const kinds: ReadonlySet<unknown> = new Set<ResourceKind>(["kv", "blob", "queue", "stream", "async"]);

/** Throws an Error that says what is wrong with it. */
export function parseOutcome(bytes: Buffer): OutcomeDocument {
  const value: unknown = JSON.parse(bytes.toString());
  if (!isRecord(value)) throw new Error("the outcome is no object");
  const seen = listOf(value["seen"], "seen").map((one) => parseSeen(one));
  if (value["ok"] !== true) return { ok: false, error: parseError(value["error"]), seen };
  const effects = listOf(value["effects"], "effects").map((one) => parseEffect(one));
  const base = { ok: true as const, value: value["value"] ?? null, seen, effects };
  if (value["failed"] === undefined) return base;
  const failed = listOf(value["failed"], "failed").map((one) => {
    if (!isRecord(one) || typeof one["id"] !== "string") throw new Error("a failed message of the outcome has no id");
    return { id: one["id"], error: parseError(one["error"]) };
  });
  return { ...base, failed };
}

/** Of a `commit` call too. Throws an Error. */
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

function parseError(value: unknown): OutcomeError {
  if (!isRecord(value)) return { type: "Error", message: "the handler failed without an error", stack: "" };
  const { type, message, stack, code, retry } = value;
  return {
    type: textOf(type, "Error", 200),
    message: textOf(message, "", 4000),
    stack: textOf(stack, "", 16_000),
    ...(typeof code === "string" ? { code: code.slice(0, 200) } : {}),
    ...(retry === "never" ? { retry } : {}),
    ...(isRecord(retry) && typeof retry["afterMs"] === "number" && retry["afterMs"] >= 0
      ? { retry: { afterMs: retry["afterMs"] } }
      : {}),
  };
}

function listOf(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new Error(`the outcome's ${what} are no list`);
  return value;
}

function wholeNumber(value: unknown): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw new Error("something seen has a number that is none");
}

function textOf(value: unknown, otherwise: string, charsMax: number): string {
  return typeof value === "string" ? value.slice(0, charsMax) : otherwise;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The outcome that a guest tells is unknown input: its outer shape is parsed here, each effect by the resource it names. */
import type { OutcomeDocument, OutcomeError } from "../wire/effects.ts";
import { parseEffect, parseSeen } from "../wire/parse-effects.ts";

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

function textOf(value: unknown, otherwise: string, charsMax: number): string {
  return typeof value === "string" ? value.slice(0, charsMax) : otherwise;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

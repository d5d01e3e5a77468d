/** An append as a function asks for it: unknown input. */
import { AloftError } from "../../contract/errors.ts";
import { limits } from "../../contract/limits.ts";
import { parseStreamShape, type StreamShape } from "../../contract/stream-options.ts";

export interface Append {
  readonly records: readonly { readonly key: string | null; readonly value: unknown }[];
  readonly producer: { readonly id: string; readonly sequence: number } | null;
  /** As the code declares the stream; null: as it is. */
  readonly shape: StreamShape | null;
}

/** Throws REQUEST_INVALID or VALUE_TOO_LARGE. */
export function parseAppend(name: string, args: Readonly<Record<string, unknown>>): Append {
  const { records, producer, shape } = args;
  if (!Array.isArray(records) || records.length === 0 || records.length > limits.streamBatchRecords) {
    const count = Array.isArray(records) ? `${records.length} records` : "no list of records";
    throw invalid(name, `an append has ${count}; allowed are 1 to ${limits.streamBatchRecords}`);
  }
  return {
    records: records.map((record: unknown) => parseRecord(name, record)),
    producer: parseProducer(name, producer),
    shape: shape === undefined ? null : parseShape(name, shape),
  };
}

function parseRecord(name: string, record: unknown): Append["records"][number] {
  if (!isRecord(record) || record["value"] === undefined) throw invalid(name, "a record has no value");
  const { value, key } = record;
  if (key === undefined || key === null) return { value, key: null };
  if (typeof key !== "string" || key.length > limits.streamKeyChars || !key.isWellFormed()) {
    throw invalid(name, `a record's key is a text of at most ${limits.streamKeyChars} characters`);
  }
  return { value, key };
}

function parseProducer(name: string, producer: unknown): Append["producer"] {
  if (producer === undefined || producer === null) return null;
  const { id, sequence } = isRecord(producer) ? producer : {};
  if (typeof id !== "string" || id === "" || id.length > limits.streamKeyChars || !id.isWellFormed()) {
    throw invalid(name, `a producer's id is a text of 1 to ${limits.streamKeyChars} characters`);
  }
  if (typeof sequence !== "number" || !Number.isSafeInteger(sequence) || sequence < 0) {
    throw invalid(name, "a producer's sequence is a whole number from 0");
  }
  return { id, sequence };
}

function parseShape(name: string, shape: unknown): StreamShape {
  if (!isRecord(shape)) throw invalid(name, "the options are no object");
  try {
    return parseStreamShape(name, shape);
  } catch (error) {
    throw new AloftError("REQUEST_INVALID", (error as Error).message);
  }
}

function invalid(name: string, message: string): AloftError {
  return new AloftError("REQUEST_INVALID", `stream ${name}: ${message}`);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

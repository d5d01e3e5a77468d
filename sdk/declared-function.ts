/**
 * The mark that `http` and `fn` put on what they return. It is found by symbol, not by class, so that the runtime
 * recognises functions of a bundle that carries an SDK of its own.
 */
import type { FunctionOptions } from "./options.ts";

export const functionKey: unique symbol = Symbol.for("aloft.function");

/** Under it the handler of a batch answers which messages have failed: `{ id, error }[]`. */
export const failedKey: unique symbol = Symbol.for("aloft.failed");

export type DeclaredFunction =
  | {
      readonly kind: "http";
      readonly route: string;
      readonly options: FunctionOptions;
      /** (request, context) => Response */
      readonly handler: (...parameters: never[]) => unknown;
    }
  | {
      readonly kind: "fn";
      readonly options: FunctionOptions;
      /** (input, context) => output */
      readonly handler: (...parameters: never[]) => unknown;
      /** Tells the function the name it is exported under. */
      readonly bind: (name: string) => void;
    }
  | {
      readonly kind: "event";
      readonly trigger: DeclaredTrigger;
      readonly options: FunctionOptions;
      /** (the trigger's payload, context) => value */
      readonly handler: (...parameters: never[]) => unknown;
    };

/** What delivers events to a function; the platform checks it when the app is deployed. */
export interface DeclaredTrigger {
  readonly kind: "queue" | "stream" | "cron" | "blob";
  /** Of the queue, stream or blob store; the schedule of a cron. */
  readonly name: string;
  readonly options: Readonly<Record<string, unknown>>;
}

/** The mark of a value, or null when neither `http` nor `fn` made it. */
export function findDeclaredFunction(value: unknown): DeclaredFunction | null {
  if (typeof value !== "function" || !(functionKey in value)) return null;
  return value[functionKey] as DeclaredFunction;
}

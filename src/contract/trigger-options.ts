/** What may be said of an event trigger, by the code or by `aloft.json`: unknown input, checked here for both. */
import { parseBlobOptions } from "./blob-options.ts";
import { parseCronOptions } from "./cron-options.ts";
import type { EventTrigger } from "./deployment.ts";
import { limits } from "./limits.ts";
import { checkQueueOptions } from "./queue-options.ts";
import { parseConsumerOptions } from "./stream-options.ts";

type OptionsParser = (name: string, options: Readonly<Record<string, unknown>>) => Readonly<Record<string, unknown>>;

/** Each throws an error whose message is the rest of a sentence that begins with the trigger. */
const parsers: Partial<Record<EventTrigger["kind"], OptionsParser>> = {
  queue: checkQueueOptions,
  blob(name, options) {
    parseBlobOptions(name, options);
    return options;
  },
  cron: (name, options) => ({ ...parseCronOptions(name, options) }),
  stream: (name, options) => ({ ...parseConsumerOptions(name, options) }),
};

export const eventTriggerKinds: ReadonlySet<string> = new Set<EventTrigger["kind"]>([
  "queue",
  "stream",
  "cron",
  "blob",
]);

/** Throws an Error that says what is wrong with it. */
export function parseEventTrigger(kind: string, name: unknown, options: unknown): EventTrigger {
  if (!eventTriggerKinds.has(kind)) throw new Error(`there is no trigger of the kind "${kind.slice(0, 50)}"`);
  if (typeof name !== "string" || name === "" || name.length > limits.resourceNameChars || !name.isWellFormed()) {
    throw new Error(`the name of a ${kind} is a text of 1 to ${limits.resourceNameChars} characters`);
  }
  const given = options ?? {};
  if (typeof given !== "object" || Array.isArray(given))
    throw new Error(`the options of ${kind} ${name} are no object`);
  if (JSON.stringify(given).length > limits.triggerOptionsBytes) {
    throw new Error(`the options of ${kind} ${name} are over ${limits.triggerOptionsBytes} bytes`);
  }
  const known = kind as EventTrigger["kind"];
  const plain = given as Readonly<Record<string, unknown>>;
  return { kind: known, name, options: parsers[known]?.(name, plain) ?? plain };
}

/**
 * Which functions of which environment consume what, as it is kept: a row for each environment, so that a start finds all
 * consumers with one range scan and reads no manifest.
 *
 *   (subscription, environment id, generation, "consumers")   what the deployment that is live wants delivered
 *   (subscription, environment id, generation, "async")       functions of it were called asynchronously
 */
import type { LiveDeployment } from "../contract/deployment.ts";
import { type Environment, KeyClass } from "../contract/durable.ts";
import type { Entry, Key, Keyspace } from "../contract/keyspace.ts";
import { decodeTuple, encodeTuple, tupleRange } from "../contract/tuple.ts";
import { type Consumer, withSlots } from "./consumer.ts";

export interface Subscription {
  readonly environment: Environment;
  /** "" where only calls wait. */
  readonly deploymentId: string;
  readonly consumers: readonly Consumer[];
}

interface ConsumersRow {
  readonly app: string;
  readonly alias: string;
  readonly deploymentId: string;
  readonly consumers: readonly Pick<Consumer, "kind" | "name" | "functionName" | "options">[];
}

export const subscriptionPrefix = encodeTuple([KeyClass.subscription]);

export function consumersKey({ id, generation }: Environment): Key {
  return encodeTuple([KeyClass.subscription, id, generation, "consumers"]);
}

export function subscriptionOf(environment: Environment, live: LiveDeployment): Subscription {
  const consumers = live.manifest.functions.flatMap(({ name: functionName, triggers }) =>
    triggers.flatMap((trigger): Consumer[] => {
      if (trigger.kind === "http") return [];
      const { kind, name, options } = trigger;
      return [{ environment, kind, name, functionName, options }];
    }),
  );
  return { environment, deploymentId: live.deploymentId, consumers: withSlots(consumers) };
}

export function encodeSubscription({ environment, deploymentId, consumers }: Subscription): Uint8Array {
  const { app, alias } = environment;
  const row: ConsumersRow = {
    app,
    alias,
    deploymentId,
    consumers: consumers.map(({ kind, name, functionName, options }) => ({ kind, name, functionName, options })),
  };
  return Buffer.from(JSON.stringify(row));
}

/** All of them, those of environments that are no more included. */
export async function readSubscriptions(keyspace: Keyspace): Promise<Subscription[]> {
  const found: Subscription[] = [];
  let query: Parameters<Keyspace["range"]>[0] | null = tupleRange([KeyClass.subscription]);
  while (query !== null) {
    const page = await keyspace.range(query);
    for (const entry of page.entries) found.push(subscriptionOfRow(entry));
    query = page.next;
  }
  return found;
}

function subscriptionOfRow({ key, value }: Entry): Subscription {
  const [, id, generation, what] = decodeTuple(key) as [string, number, number, string];
  const row = JSON.parse(Buffer.from(value).toString()) as ConsumersRow;
  const environment: Environment = { id, generation, app: row.app, alias: row.alias };
  if (what === "async") {
    const consumer = { environment, kind: "async", name: "", functionName: "", options: {} };
    return { environment, deploymentId: "", consumers: [consumer] };
  }
  return {
    environment,
    deploymentId: row.deploymentId,
    consumers: withSlots(row.consumers.map((one) => ({ ...one, environment }))),
  };
}

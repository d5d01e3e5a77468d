/** What `aloft kv` and `aloft blobs` have in common: `ACTION APP STORE KEY`, and lists over their pages. */
import { nearestWord } from "../lib/edit-distance.ts";
import { usageError } from "./arguments.ts";
import type { ControlClient, StateEntryJson, StoreTarget } from "./client.ts";
import type { Context } from "./command.ts";
import { aliasOf, appOf, limitOf } from "./targets.ts";

export interface ActionTarget extends StoreTarget {
  readonly action: string;
  readonly rest: readonly string[];
}

const listedMax = 1_000_000;

/** `actions`: how many words each takes after the app, at least and at most. Throws USAGE. */
export function storeTarget(
  { words, flags }: Context,
  command: "kv" | "blobs",
  actions: Readonly<Record<string, readonly [min: number, max: number]>>,
): ActionTarget {
  const [action = "", appWord, ...rest] = words;
  const bounds = actions[action];
  if (bounds === undefined) {
    const meant = nearestWord(action, Object.keys(actions));
    const line = meant === null ? null : `aloft ${command} ${meant}`;
    throw usageError(`aloft ${command} has no action "${action}"`, command, line);
  }
  const app = appOf(appWord);
  if (rest.length < bounds[0] || rest.length > bounds[1]) {
    throw usageError(`aloft ${command} ${action} does not take ${rest.length} words after the app`, command);
  }
  const [store = "", key = "", ...more] = rest;
  return { kind: command, action, app, alias: aliasOf(flags), store, key, rest: more };
}

/** The names of the stores where none is named, else what is in it. */
export async function listEntries(
  { flags, terminal, json }: Context,
  client: ControlClient,
  target: ActionTarget,
  columns: readonly string[],
  rowOf: (entry: StateEntryJson) => readonly string[],
): Promise<void> {
  if (target.store === "") {
    const stores = await client.listStores(target);
    if (json) terminal.printJson(stores);
    else
      terminal.printTable(
        ["store"],
        stores.map((name) => [name]),
      );
    return;
  }
  const limit = limitOf(flags, listedMax) ?? 100;
  const entries = await client.listEntries(target, flags.text("prefix"), limit);
  if (json) terminal.printJson(entries);
  else
    terminal.printTable(
      [...columns],
      entries.map((entry) => [...rowOf(entry)]),
    );
}

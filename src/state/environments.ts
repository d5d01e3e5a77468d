/**
 * The environments of apps: which keys an app's state has. A row for each (app, alias), made when it is first asked for:
 *
 *   (meta, environment, APP, ALIAS)   id and generation; gone with the app, whose next environment has an id of its own
 *   (meta, environment-id)            the last id that was given
 *   (meta, retired, ID, GENERATION)   what is left of it is to be swept (`sweeper.ts`)
 *
 * Every commit for an environment checks its row, so that nothing written for a deleted app survives it.
 */
import { type Environment, type Environments, KeyClass } from "../contract/durable.ts";
import { AloftError } from "../contract/errors.ts";
import type {
  Check,
  Commit,
  CommitOutcome,
  Entry,
  Keyspace,
  RangePage,
  RangeQuery,
  Write,
} from "../contract/keyspace.ts";
import { decodeTuple, encodeTuple, tupleRange } from "../contract/tuple.ts";
import { BoundedMap } from "../lib/bounded-map.ts";

/** Some 200 bytes each; others are read again. */
const knownMost = 20_000;
const triesMax = 20;
const idKey = encodeTuple([KeyClass.meta, "environment-id"]);

export interface EnvironmentRegistry extends Environments {
  /** Fails once the environment's app was deleted. */
  checkOf(environment: Environment): Check;
  list(app: string): Promise<readonly Environment[]>;
  /** Of every app, in pages as they are asked for. */
  listAll(): AsyncIterable<Environment>;
  /** Its check has failed: it is read anew when it is asked for again. */
  forget(environment: Environment): void;
  /** Whatever is asked for under the app's name from now on begins empty. Durable when it resolves. */
  retire(app: string): Promise<void>;
  /** The same for every app that is not there: a crash in the middle of deleting one has left its state. */
  retireAllBut(hasApp: (app: string) => boolean): Promise<void>;
}

interface Known extends Environment {
  readonly version: number;
}

export function createEnvironments(keyspace: Keyspace): EnvironmentRegistry {
  const known = new BoundedMap<string, Known>(knownMost);

  async function find(app: string, alias: string): Promise<Environment | null> {
    const found = known.get(`${app}/${alias}`);
    if (found !== undefined) return found;
    const [entry] = await keyspace.get([rowKey(app, alias)]);
    return entry === null || entry === undefined ? null : remember(app, alias, entry);
  }

  async function get(app: string, alias: string): Promise<Environment> {
    for (let tries = 0; tries < triesMax; tries++) {
      const found = await find(app, alias);
      if (found !== null) return found;
      await make(app, alias);
    }
    throw new AloftError("KEYSPACE_BUSY", `the environment of ${app} could not be made: others were faster every time`);
  }

  /** Its checks fail when it has happened already, so an unknown outcome is as good as a conflict: look again. */
  async function make(app: string, alias: string): Promise<void> {
    const [counter] = await keyspace.get([idKey]);
    const id = counter === null || counter === undefined ? 1 : Number(textOf(counter)) + 1;
    await commitOrLookAgain({
      checks: [{ kind: "absent", key: rowKey(app, alias) }, standsAs(idKey, counter ?? null)],
      writes: [
        { kind: "set", key: idKey, value: Buffer.from(String(id)) },
        { kind: "set", key: rowKey(app, alias), value: rowOf(id, 1) },
      ],
    });
  }

  async function list(app: string): Promise<readonly Environment[]> {
    const { entries } = await keyspace.range(tupleRange([KeyClass.meta, "environment", app]));
    return entries.map((entry) => remember(app, aliasOf(entry), entry));
  }

  /** Not remembered: whoever walks over all of them must not push out those that are used. */
  async function* listAll(): AsyncGenerator<Environment> {
    let query: RangeQuery | null = tupleRange([KeyClass.meta, "environment"]);
    while (query !== null) {
      const page: RangePage = await keyspace.range(query);
      for (const entry of page.entries) {
        const { id, generation } = JSON.parse(textOf(entry)) as Environment;
        yield { id, generation, app: String(decodeTuple(entry.key)[2]), alias: aliasOf(entry) };
      }
      query = page.next;
    }
  }

  async function retire(app: string): Promise<void> {
    for (let tries = 0; tries < triesMax; tries++) {
      const { entries } = await keyspace.range(tupleRange([KeyClass.meta, "environment", app]));
      const checks: Check[] = [];
      const writes: Write[] = [];
      for (const entry of entries) {
        const { id, generation } = JSON.parse(textOf(entry)) as Environment;
        checks.push({ kind: "version", key: entry.key, version: entry.version });
        writes.push({ kind: "delete", key: entry.key });
        writes.push({ kind: "set", key: retiredKey(id, generation), value: new Uint8Array(0) });
      }
      if (writes.length === 0) return;
      for (const entry of entries) known.delete(`${app}/${aliasOf(entry)}`);
      const outcome = await commitOrLookAgain({ checks, writes, isEssential: true });
      for (const entry of entries) known.delete(`${app}/${aliasOf(entry)}`);
      if (outcome?.kind === "committed") return;
    }
    throw new AloftError("KEYSPACE_BUSY", `the state of ${app} could not be retired: others were faster every time`);
  }

  async function retireAllBut(hasApp: (app: string) => boolean): Promise<void> {
    const gone = new Set<string>();
    for await (const { app } of listAll()) if (!hasApp(app)) gone.add(app);
    for (const app of gone) await retire(app);
  }

  function forget({ app, alias }: Environment): void {
    known.delete(`${app}/${alias}`);
  }

  /** null: it may have happened. */
  async function commitOrLookAgain(commit: Commit): Promise<CommitOutcome | null> {
    try {
      return await keyspace.commit(commit);
    } catch (error) {
      if (error instanceof AloftError && error.code === "COMMIT_UNKNOWN") return null;
      throw error;
    }
  }

  function remember(app: string, alias: string, entry: Entry): Known {
    const { id, generation } = JSON.parse(textOf(entry)) as Environment;
    const environment: Known = { id, generation, app, alias, version: entry.version };
    known.set(`${app}/${alias}`, environment);
    return environment;
  }

  function checkOf(environment: Environment): Check {
    const key = rowKey(environment.app, environment.alias);
    const { version } = environment as Partial<Known>;
    if (version === undefined) throw new TypeError("the environment was not made by this registry");
    return { kind: "version", key, version };
  }

  return { find, get, list, listAll, retire, retireAllBut, forget, checkOf };
}

export function retiredKey(id: number, generation: number): Uint8Array {
  return encodeTuple([KeyClass.meta, "retired", id, generation]);
}

function rowKey(app: string, alias: string): Uint8Array {
  return encodeTuple([KeyClass.meta, "environment", app, alias]);
}

function rowOf(id: number, generation: number): Uint8Array {
  return Buffer.from(JSON.stringify({ id, generation }));
}

function aliasOf({ key }: Entry): string {
  return String(decodeTuple(key)[3]);
}

function standsAs(key: Uint8Array, entry: Entry | null): Check {
  return entry === null ? { kind: "absent", key } : { kind: "version", key, version: entry.version };
}

function textOf({ value }: Entry): string {
  return Buffer.prototype.utf8Slice.call(value, 0, value.length);
}

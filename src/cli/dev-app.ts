/**
 * One app under `dev`: builds on every save, brings the newest build and the variables of `.env` to the server, one at a
 * time. A build or a deploy that fails leaves what serves as it is, for that is how the server's deploys are.
 */
import { watch } from "node:fs";
import type { FSWatcher } from "node:fs";
import { watchApp } from "../build/watch.ts";
import type { AppWatch, Bundle } from "../build/watch.ts";
import { AloftError, asAloftError } from "../contract/errors.ts";
import { productionAlias } from "../contract/names.ts";
import type { ControlClient } from "./client.ts";
import { deployBundle } from "./deploying.ts";
import type { DeployOutcome } from "./deploying.ts";
import { readDotenv } from "./dotenv.ts";

export interface DevAppEvents {
  /** `first`: nothing of it was deployed by this `dev` before. */
  deployed(outcome: DeployOutcome, tookMs: number, first: boolean): void;
  /** `serving`: an earlier build goes on. */
  failed(error: AloftError, serving: boolean): void;
  noted(text: string): void;
}

export interface DevAppOptions {
  /** The app's folder, or its only file. */
  readonly path: string;
  readonly folder: string;
  readonly client: ControlClient;
  readonly events: DevAppEvents;
  /** Whether the name is free for this folder; two folders of one name would replace each other for ever. */
  readonly claimName: (name: string, path: string) => boolean;
}

export class DevApp {
  /** Resolves when the first build has been deployed or has failed. */
  readonly settled: Promise<void>;
  readonly #options: DevAppOptions;
  readonly #settle: () => void;
  #watch: AppWatch | null = null;
  #envWatch: FSWatcher | null = null;
  #name: string | null = null;
  /** The newest build that was not deployed yet. */
  #waiting: Bundle | null = null;
  /** The last build that the server refused: other variables may be what it lacks. */
  #refused: Bundle | null = null;
  #dotenvChanged = true;
  #isWorking = false;
  #working: Promise<void> = Promise.resolve();
  #given: Readonly<Record<string, string>> | null = null;
  #deployed = false;
  #closed = false;

  constructor(options: DevAppOptions) {
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.settled = promise;
    this.#settle = resolve;
  }

  /** The name it was last deployed under; null before that. */
  get name(): string | null {
    return this.#name;
  }

  async start(): Promise<void> {
    const { path, folder } = this.#options;
    this.#envWatch = watch(folder, (_event, file) => {
      if (file !== ".env") return;
      this.#dotenvChanged = true;
      this.#waiting ??= this.#refused;
      this.#work();
    });
    // The folder may be deleted while it is watched.
    this.#envWatch.on("error", () => this.#envWatch?.close());
    this.#watch = await watchApp({
      dir: path,
      onBuild: (bundle) => {
        this.#waiting = bundle;
        this.#work();
      },
      onError: (error) => this.#fail(error),
      onWarning: (warning) => this.#options.events.noted(warning),
    });
    if (this.#closed) await this.#watch.close();
  }

  /** Waits for what is on its way; the app stays on the server. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#envWatch?.close();
    await this.#watch?.close();
    await this.#working;
    this.#settle();
  }

  /** Goes on until nothing newer waits. One at a time: a deploy that a later one overtakes would be refused. */
  #work(): void {
    if (this.#isWorking) return;
    this.#isWorking = true;
    this.#working = this.#workOff();
  }

  async #workOff(): Promise<void> {
    while (!this.#closed) {
      const bundle = this.#waiting;
      this.#waiting = null;
      try {
        if (bundle !== null) await this.#deploy(bundle);
        else if (this.#dotenvChanged && this.#name !== null) await this.#giveVariables(this.#name);
        else break;
        this.#refused = null;
      } catch (thrown) {
        this.#refused = bundle ?? this.#refused;
        // What fails because the server is being stopped is no news.
        if (!this.#closed) this.#fail(asAloftError(thrown));
      }
    }
    // In the same turn as the look at what waits: nothing can come in between.
    this.#isWorking = false;
  }

  async #deploy(bundle: Bundle): Promise<void> {
    const { client, claimName, events, path } = this.#options;
    if (!claimName(bundle.name, path)) {
      throw new AloftError("NAME_INVALID", `another folder here already has the name "${bundle.name}"`, {
        hint: `give this one another name in aloft.json`,
      });
    }
    const startedAtMs = performance.now();
    // Before the code: what it requires must be set. If the code that is live cannot start with them, this code may.
    if (this.#dotenvChanged || this.#name !== bundle.name) {
      await this.#giveVariables(bundle.name).catch((error: unknown) => {
        if (!(error instanceof AloftError) || error.fault !== "app") throw error;
      });
    }
    const former = this.#name;
    const outcome = await deployBundle(client, bundle, productionAlias);
    this.#name = bundle.name;
    if (former !== null && former !== bundle.name) await client.deleteApp(former);
    events.deployed(outcome, performance.now() - startedAtMs, !this.#deployed);
    this.#deployed = true;
    this.#settle();
  }

  /** Sets what `.env` says and removes what it no longer says. */
  async #giveVariables(app: string): Promise<void> {
    const { client, folder, events } = this.#options;
    this.#dotenvChanged = false;
    const { variables, refused } = await readDotenv(folder);
    if (refused.length > 0) events.noted(`.env: ${refused.join(", ")} cannot be set for an app and were left out`);
    const before = this.#name === app ? this.#given : null;
    const known = before === null ? await this.#variableNames(app) : Object.keys(before);
    const unset = known.filter((name) => !Object.hasOwn(variables, name));
    if (unset.length === 0 && Object.keys(variables).length === 0) return;
    if (before !== null && sameEntries(before, variables)) return;
    // Not known to be given until the server says so.
    this.#given = null;
    await client.changeVariables(app, productionAlias, { set: variables, unset });
    this.#given = variables;
    if (before !== null) events.noted(".env changed; the new values are live");
  }

  /** Those that an earlier `dev` left in its data. */
  async #variableNames(app: string): Promise<readonly string[]> {
    try {
      return (await this.#options.client.listVariables(app, productionAlias)).map(({ name }) => name);
    } catch (error) {
      if (error instanceof AloftError && error.code === "APP_NOT_FOUND") return [];
      throw error;
    }
  }

  #fail(error: AloftError): void {
    this.#options.events.failed(error, this.#deployed);
    this.#settle();
  }
}

function sameEntries(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name]);
}

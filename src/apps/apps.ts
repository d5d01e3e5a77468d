/**
 * The service of apps: what a developer does to them (`Managing`), and what the running side asks (`LiveSource`). It owns
 * nothing that runs: it tells the `Running` port what should.
 *
 * What must always hold: an answer is given only for what is durable; what is published is what the rows say; nothing
 * that an alias names, that runs or that an open deploy counts on is ever removed.
 */
import { randomBytes } from "node:crypto";
import type {
  AppJson,
  DeployBegunJson,
  DeployedJson,
  DeploymentJson,
  FunctionJson,
  RollbackJson,
  VariableJson,
} from "../contract/api.ts";
import type { ContentFolder } from "../contract/backup.ts";
import type { LiveDeployment, Manifest } from "../contract/deployment.ts";
import { limits } from "../contract/limits.ts";
import type { Managing, VariableChange } from "../contract/managing.ts";
import { assertAliasName, assertAppName, productionAlias } from "../contract/names.ts";
import type { LiveSource, Running } from "../contract/running.ts";
import { BoundedMap } from "../lib/bounded-map.ts";
import { systemClock, type Clock } from "../lib/clock.ts";
import { KeyLock } from "../lib/key-lock.ts";
import { AliasMoves } from "./alias-moves.ts";
import { Catalog } from "./catalog.ts";
import { Collector } from "./collector.ts";
import { openContentStore } from "./content-store.ts";
import { Deploying, type LiveResult } from "./deploying.ts";
import { openDeploymentFolders } from "./deployment-folders.ts";
import { imageRootOf, placeDeployment } from "./deployment-place.ts";
import { openImageStore } from "./images/image-store.ts";
import type { MetaStore } from "./meta/meta-store.ts";
import { OpenDeploys } from "./open-deploys.ts";
import type { Parts } from "./parts.ts";
import { Pins } from "./pins.ts";
import { keys } from "./rows.ts";
import { appUrls, functionUrls, type PublicAddress } from "./urls.ts";
import { Variables } from "./variables.ts";

export interface AppsOptions {
  /** Stays the caller's to close, after this. */
  readonly meta: MetaStore;
  /** Folders of the data folder (`data-folder.ts`). */
  readonly files: string;
  readonly deployments: string;
  readonly images: string;
  readonly running: Running;
  /** Part of every deployment's id, such as "node 26": code is built and described anew for another one. */
  readonly runtimeVersion: string;
  /** Asked for each answer, because the port may be known only later. */
  readonly address: () => PublicAddress;
  /** What the app has stored is out of reach when it resolves. */
  readonly retireState?: (app: string) => Promise<void>;
  /** Told what went wrong where nobody waits for an answer (collecting). */
  readonly onError: (error: unknown) => void;
  readonly clock?: Clock;
  readonly newId?: () => string;
}

/** Throws DATA_CORRUPT, DATA_UNWRITABLE, DISK_FULL. What is live is complete on the disk when it resolves. */
export async function openApps(options: AppsOptions): Promise<Apps> {
  const content = await openContentStore(options.files);
  const folders = await openDeploymentFolders(options.deployments, content);
  const images = await openImageStore({
    folder: options.images,
    content,
    keepsOwners: process.geteuid?.() === 0,
  });
  const catalog = new Catalog(options.meta, content, folders, images);
  for (const { key, value } of options.meta.list(keys.allAliases)) {
    const app = key.split("/")[1] ?? "";
    const { deployment } = JSON.parse(value) as { deployment: string };
    const imageRoot = imageRootOf(folders, app, deployment);
    const isWhole = folders.has(app, deployment) && (imageRoot === null || images.hasRoot(imageRoot));
    const row = isWhole ? null : catalog.findDeployment(app, deployment);
    if (row !== null) {
      await placeDeployment({ folders, images, content }, app, deployment, catalog.manifestOf(row));
    }
  }
  const clock = options.clock ?? systemClock;
  return new Apps(options, (apps) => ({
    meta: options.meta,
    content,
    folders,
    images,
    catalog,
    deploys: new OpenDeploys(clock, (hashes) => apps.release(hashes)),
    pins: new Pins(),
    running: options.running,
    lock: new KeyLock(),
    clock,
    newId: options.newId ?? (() => randomBytes(8).toString("hex")),
    runtimeVersion: options.runtimeVersion,
    publish: (app, alias, live) => apps.publish(app, alias, live),
  }));
}

export class Apps implements Managing, LiveSource {
  readonly #address: () => PublicAddress;
  readonly #onError: (error: unknown) => void;
  readonly #retireState: (app: string) => Promise<void>;
  readonly #parts: Parts;
  readonly #deploying: Deploying;
  readonly #variables: Variables;
  readonly #collector: Collector;
  readonly #live = new BoundedMap<string, LiveDeployment>(limits.liveDeploymentsCached);
  #collecting: Promise<void>;
  #closed = false;

  constructor(options: AppsOptions, makeParts: (apps: Apps) => Parts) {
    this.#address = options.address;
    this.#onError = options.onError;
    this.#retireState = options.retireState ?? (() => Promise.resolve());
    this.#parts = makeParts(this);
    this.#deploying = new Deploying(this.#parts, new AliasMoves(this.#parts));
    this.#variables = new Variables(this.#parts);
    this.#collector = new Collector(this.#parts);
    this.#collecting = Promise.resolve();
    this.#collectSoon(() => this.#collector.collectAll());
  }

  // --- LiveSource

  findLive(app: string, alias: string): LiveDeployment | null {
    const key = `${app}/${alias}`;
    const cached = this.#live.get(key);
    if (cached !== undefined) return cached;
    const { catalog } = this.#parts;
    const id = catalog.findAlias(app, alias)?.deployment;
    const row = id === undefined ? null : catalog.findDeployment(app, id);
    if (id === undefined || row === null) return null;
    const live = catalog.composeLive(app, alias, id, catalog.manifestOf(row), catalog.variablesInUse(app, alias));
    this.#live.set(key, live);
    return live;
  }

  findDomain(host: string): string | null {
    return this.#parts.meta.get(keys.domain(host));
  }

  defaultApp(): string | null {
    return this.#parts.meta.get(keys.defaultApp);
  }

  hasApp(app: string): boolean {
    return this.#parts.catalog.hasApp(app);
  }

  appNames(): readonly string[] {
    return this.#parts.catalog.appNames();
  }

  /** What is live and keeps instances when nothing calls: to be started after a restart. */
  liveThatKeeps(): readonly LiveDeployment[] {
    const found = this.#parts.catalog.aliasesThatKeep().map(({ app, alias }) => this.findLive(app, alias));
    return found.filter((live) => live !== null);
  }

  /** What is live: no manifest is read for it. */
  listLive(): readonly { readonly app: string; readonly alias: string; readonly deploymentId: string }[] {
    return this.#parts.catalog.listLive();
  }

  // --- apps

  listApps(): readonly AppJson[] {
    return this.appNames().map((app) => this.getApp(app));
  }

  getApp(app: string): AppJson {
    const { catalog } = this.#parts;
    const row = catalog.getApp(app);
    const aliases = catalog.aliases(app);
    const shown = aliases.find((alias) => alias.name === productionAlias) ?? aliases[0];
    return {
      name: app,
      createdAt: timeOf(row.createdAtMs),
      aliases: aliases.map(({ name, deployment, number, movedAtMs }) => ({
        name,
        deployment,
        number,
        movedAt: timeOf(movedAtMs),
      })),
      domains: row.domains,
      functions: shown === undefined ? 0 : (catalog.findDeployment(app, shown.deployment)?.functions ?? 0),
      urls: aliases.flatMap((alias) => this.#urlsOf(app, alias.name)),
    };
  }

  async removeApp(app: string): Promise<void> {
    const { catalog, deploys, lock, meta } = this.#parts;
    await lock.run(app, async () => {
      const { domains } = catalog.getApp(app);
      const aliases = catalog.aliases(app).map((alias) => alias.name);
      const ids = catalog.deployments(app).map((row) => row.name);
      deploys.endAll(app);
      const { writes, hashes } = this.#collector.removalOf(app);
      const prefixes = [keys.aliases(app), keys.variablesOf(app), keys.variablesLiveOf(app)];
      const gone = [
        keys.app(app),
        keys.number(app),
        ...prefixes.flatMap((prefix) => meta.list(prefix).map((entry) => entry.key)),
        ...domains.map(keys.domain),
        ...(this.defaultApp() === app ? [keys.defaultApp] : []),
      ];
      await meta.commit({ checks: [], writes: [...writes, ...gone.map((key) => ({ key, value: null }))] });
      catalog.forgetAppNames();
      for (const alias of aliases) this.publish(app, alias, null);
      await this.#retireState(app);
      this.#collectSoon(() => this.#collector.removeBytes(app, ids, hashes));
    });
  }

  /** Durable: a bare host goes to this app from now on, over restarts too. */
  async setDefaultApp(app: string): Promise<void> {
    assertAppName(app);
    if (this.defaultApp() !== app)
      await this.#parts.meta.commit({ checks: [], writes: [{ key: keys.defaultApp, value: app }] });
  }

  listFunctions(app: string, alias: string): readonly FunctionJson[] {
    assertAliasName(alias);
    const { catalog } = this.#parts;
    const row = catalog.findDeployment(app, catalog.getAlias(app, alias).deployment);
    return row === null ? [] : this.#functionsJson(app, alias, catalog.manifestOf(row));
  }

  listDeployments(app: string): readonly DeploymentJson[] {
    const { catalog } = this.#parts;
    catalog.getApp(app);
    const aliases = catalog.aliases(app);
    return catalog.deployments(app).map(({ name, createdAtMs, files, bytes, functions }) => ({
      id: name,
      createdAt: timeOf(createdAtMs),
      files,
      bytes,
      functions,
      aliases: aliases.filter((alias) => alias.deployment === name).map((alias) => alias.name),
    }));
  }

  // --- deploys

  beginDeploy(app: string, body: unknown): Promise<DeployBegunJson> {
    return this.#deploying.begin(app, body);
  }

  receiveFile(app: string, number: number, hash: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    return this.#deploying.receive(app, number, hash, chunks);
  }

  async finishDeploy(app: string, number: number): Promise<DeployedJson> {
    return this.#deployedJson(app, await this.#thenCollect(app, this.#deploying.finish(app, number)));
  }

  async rollback(app: string, request: RollbackJson): Promise<DeployedJson> {
    assertAliasName(request.alias);
    return this.#deployedJson(app, await this.#thenCollect(app, this.#deploying.rollback(app, request)));
  }

  // --- variables

  listVariables(app: string, alias: string): readonly VariableJson[] {
    return this.#variables.list(app, alias);
  }

  changeVariables(app: string, alias: string, change: VariableChange): Promise<readonly VariableJson[]> {
    return this.#variables.change(app, alias, change);
  }

  // --- for its own parts and for the server

  /** Remembers what is live and tells the running side. Called by the parts, once the row is durable. */
  publish(app: string, alias: string, live: LiveDeployment | null): void {
    const key = `${app}/${alias}`;
    if (live === null) this.#live.delete(key);
    else this.#live.set(key, live);
    this.#parts.running.publish(app, alias, live);
  }

  /** Contents that no open deploy holds any longer. Called by the parts. */
  release(hashes: Iterable<string>): void {
    try {
      for (const hash of hashes) this.#collector.removeIfFree(hash);
    } catch (error) {
      this.#onError(error);
    }
  }

  /** Removes what has become free since: folders whose last instance has ended, deploys that nobody finished. */
  collect(): Promise<void> {
    this.#collectSoon(() => this.#collector.collectAll());
    return this.#collecting;
  }

  /** What deployments are made of, for backups. */
  contents(): ContentFolder {
    const { content } = this.#parts;
    return {
      name: "files",
      path: content.folder,
      hold: () => {
        const release = this.#collector.hold();
        return () => {
          release();
          this.#collectSoon(() => this.#collector.collectAll());
        };
      },
      list: () => content.paths(),
    };
  }

  /** Resolves when the collecting that is under way has ended. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#parts.images.close();
    await this.#collecting;
  }

  async #thenCollect<T>(app: string, work: Promise<T>): Promise<T> {
    try {
      return await work;
    } finally {
      this.#collectSoon(() => this.#collector.collectApp(app));
    }
  }

  #collectSoon(work: () => Promise<void>): void {
    if (this.#closed) return;
    this.#collecting = this.#collecting.then(work).catch(this.#onError);
  }

  #deployedJson(app: string, { alias, id, number, changed, manifest }: LiveResult): DeployedJson {
    const functions = this.#functionsJson(app, alias, manifest);
    return { app, alias, deployment: id, number, changed, functions, urls: this.#urlsOf(app, alias) };
  }

  #functionsJson(app: string, alias: string, manifest: Manifest): readonly FunctionJson[] {
    const base = this.#urlsOf(app, alias)[0];
    return manifest.functions.map((spec) => ({
      name: spec.name,
      style: spec.style,
      runtime: spec.program?.runtime ?? "node",
      group: spec.group,
      triggers: spec.triggers,
      limits: spec.limits,
      urls: functionUrls(base, spec),
    }));
  }

  /** The plainest of its addresses, without a slash at the end. */
  urlOf(app: string, alias: string): string {
    return this.#urlsOf(app, alias)[0] ?? "";
  }

  #urlsOf(app: string, alias: string): readonly string[] {
    const domains = this.#parts.catalog.findApp(app)?.domains ?? [];
    return appUrls(this.#address(), { app, alias, domains, isDefault: this.defaultApp() === app });
  }
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}

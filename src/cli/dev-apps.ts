/** The apps under one `dev`: starts each, takes in new folders, lets go of those that are gone, clears away leftovers. */
import { existsSync } from "node:fs";
import { basename, dirname } from "node:path";
import type { ControlClient } from "./client.ts";
import { DevApp } from "./dev-app.ts";
import type { DevAppEvents } from "./dev-app.ts";
import { listAppFolders } from "./dev-target.ts";
import type { DevTarget } from "./dev-target.ts";

export interface DevAppsOptions {
  readonly target: DevTarget;
  readonly client: ControlClient;
  /** `label` names the app before its own name is known. */
  readonly eventsFor: (label: string) => DevAppEvents;
}

export class DevApps {
  readonly #options: DevAppsOptions;
  readonly #apps = new Map<string, DevApp>();
  /** Which path holds which name. */
  readonly #names = new Map<string, string>();
  #closed = false;

  constructor(options: DevAppsOptions) {
    this.#options = options;
  }

  /** Resolves when each of the first builds has gone live or failed. */
  async start(): Promise<void> {
    const { target } = this.#options;
    const paths = target.kind === "app" ? [target.path] : target.paths;
    // The first by itself: it becomes the default app, which a bare address reaches.
    const [first, ...others] = paths;
    if (first !== undefined) await this.#add(first);
    await Promise.all(others.map((path) => this.#add(path)));
    await this.#removeLeftovers();
  }

  /** Looks for folders that came or went; called now and then. */
  async tick(): Promise<void> {
    const { target } = this.#options;
    if (target.kind === "app" || !existsSync(target.folder)) return;
    const paths = await listAppFolders(target.folder);
    for (const path of paths) if (!this.#apps.has(path)) await this.#add(path);
    for (const path of [...this.#apps.keys()]) if (!existsSync(path)) await this.#remove(path);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#apps.values()].map((app) => app.close()));
  }

  async #add(path: string): Promise<void> {
    if (this.#closed) return;
    const { target, client, eventsFor } = this.#options;
    const folder = target.kind === "app" ? target.folder : path;
    const claimName = (name: string) => this.#claim(name, path);
    const label = basename(existsSync(path) ? path : dirname(path));
    const app = new DevApp({ path, folder, client, events: eventsFor(label), claimName });
    this.#apps.set(path, app);
    await app.start();
    await app.settled;
  }

  async #remove(path: string): Promise<void> {
    if (this.#closed) return;
    const app = this.#apps.get(path);
    this.#apps.delete(path);
    await app?.close();
    for (const [name, holder] of this.#names) if (holder === path) this.#names.delete(name);
    const name = app?.name ?? null;
    if (name !== null) await this.#options.client.deleteApp(name);
  }

  #claim(name: string, path: string): boolean {
    const holder = this.#names.get(name);
    if (holder !== undefined && holder !== path) return false;
    // An app that changed its name gives the former one back.
    for (const [former, formerHolder] of this.#names) if (formerHolder === path) this.#names.delete(former);
    this.#names.set(name, path);
    return true;
  }

  /** Apps of an earlier `dev` whose folders are gone. Not while a build fails: its app may be one of them. */
  async #removeLeftovers(): Promise<void> {
    if ([...this.#apps.values()].some(({ name }) => name === null)) return;
    const { client } = this.#options;
    for (const { name } of await client.listApps()) if (!this.#names.has(name)) await client.deleteApp(name);
  }
}

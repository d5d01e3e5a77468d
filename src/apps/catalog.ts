/**
 * What the meta store says, as typed rows: the reading side of `apps/`. Everything is read when it is asked for, and only
 * what is asked for, so that ten thousand sleeping apps cost no more than their rows.
 */
import type { LiveDeployment, Manifest } from "../contract/deployment.ts";
import { AloftError } from "../contract/errors.ts";
import { nearestWord } from "../lib/edit-distance.ts";
import type { ContentStore } from "./content-store.ts";
import type { DeploymentFolders } from "./deployment-folders.ts";
import type { ImageStore } from "./images/image-store.ts";
import type { MetaStore } from "./meta/meta-store.ts";
import {
  keys,
  lastPart,
  noVariables,
  type AliasRow,
  type AppRow,
  type DeploymentRow,
  type VariablesRow,
} from "./rows.ts";

/** As it stands in the JSON of a DeploymentRow. */
const keepsMark = '"keepsInstances":true';

export type Named<Row> = Row & { readonly name: string };

export class Catalog {
  readonly #meta: MetaStore;
  readonly #content: ContentStore;
  readonly #folders: DeploymentFolders;
  readonly #images: ImageStore;
  #names: readonly string[] | null = null;

  constructor(meta: MetaStore, content: ContentStore, folders: DeploymentFolders, images: ImageStore) {
    this.#meta = meta;
    this.#content = content;
    this.#folders = folders;
    this.#images = images;
  }

  /** In order. The list is made anew only when apps came or went. */
  appNames(): readonly string[] {
    this.#names ??= this.#meta.list(keys.apps).map((entry) => lastPart(entry.key));
    return this.#names;
  }

  /** To be called after a commit that made or removed an app. */
  forgetAppNames(): void {
    this.#names = null;
  }

  hasApp(app: string): boolean {
    return this.#meta.get(keys.app(app)) !== null;
  }

  findApp(app: string): AppRow | null {
    return parse<AppRow>(this.#meta.get(keys.app(app)));
  }

  getApp(app: string): AppRow {
    const row = this.findApp(app);
    if (row !== null) return row;
    const nearest = nearestWord(app, this.appNames());
    throw new AloftError("APP_NOT_FOUND", `there is no app "${app}"`, {
      hint: nearest === null ? "see what there is with: aloft apps" : `did you mean "${nearest}"?`,
    });
  }

  aliases(app: string): readonly Named<AliasRow>[] {
    return this.#rows<AliasRow>(keys.aliases(app));
  }

  findAlias(app: string, alias: string): AliasRow | null {
    return parse<AliasRow>(this.#meta.get(keys.alias(app, alias)));
  }

  getAlias(app: string, alias: string): AliasRow {
    this.getApp(app);
    const row = this.findAlias(app, alias);
    if (row !== null) return row;
    const names = this.aliases(app).map((each) => each.name);
    throw new AloftError("ALIAS_NOT_FOUND", `the app "${app}" has no alias "${alias}"`, {
      hint: names.length === 0 ? `deploy it first: aloft deploy --alias ${alias}` : `it has: ${names.join(", ")}`,
    });
  }

  /** Newest first; `name` is the id. */
  deployments(app: string): readonly Named<DeploymentRow>[] {
    return this.#rows<DeploymentRow>(keys.deployments(app)).toSorted((a, b) => b.number - a.number);
  }

  countDeployments(app: string): number {
    return this.#meta.list(keys.deployments(app)).length;
  }

  findDeployment(app: string, id: string): DeploymentRow | null {
    return parse<DeploymentRow>(this.#meta.get(keys.deployment(app, id)));
  }

  /** The aliases whose deployment keeps instances when nothing calls. Only rows that name the mark are parsed. */
  aliasesThatKeep(): readonly { readonly app: string; readonly alias: string }[] {
    const found: { app: string; alias: string }[] = [];
    for (const { key, value } of this.#meta.list(keys.allAliases)) {
      const [, app = "", alias = ""] = key.split("/");
      const { deployment } = JSON.parse(value) as AliasRow;
      const row = this.#meta.get(keys.deployment(app, deployment));
      if (row?.includes(keepsMark) === true) found.push({ app, alias });
    }
    return found;
  }

  /** What is live, by rows alone. */
  listLive(): { readonly app: string; readonly alias: string; readonly deploymentId: string }[] {
    return this.#meta.list(keys.allAliases).map(({ key, value }) => {
      const [, app = "", alias = ""] = key.split("/");
      return { app, alias, deploymentId: (JSON.parse(value) as AliasRow).deployment };
    });
  }

  manifestOf(row: DeploymentRow): Manifest {
    const manifest = JSON.parse(this.#content.readSync(row.manifestHash).toString("utf8")) as Manifest;
    // One of before there were policies says nothing of it.
    return { ...manifest, network: manifest.network ?? "internet" };
  }

  holds(app: string, hash: string): boolean {
    return this.#meta.get(keys.holder(hash, app)) !== null;
  }

  isHeld(hash: string): boolean {
    return this.#meta.list(keys.holders(hash)).length > 0;
  }

  variables(app: string, alias: string): VariablesRow {
    return parse<VariablesRow>(this.#meta.get(keys.variables(app, alias))) ?? noVariables;
  }

  /** null: what is live uses the variables as they are set. */
  findVariablesLive(app: string, alias: string): VariablesRow | null {
    return parse<VariablesRow>(this.#meta.get(keys.variablesLive(app, alias)));
  }

  variablesInUse(app: string, alias: string): VariablesRow {
    return this.findVariablesLive(app, alias) ?? this.variables(app, alias);
  }

  /** `manifest` is of a deployment whose place has been made. */
  composeLive(app: string, alias: string, id: string, manifest: Manifest, row: VariablesRow): LiveDeployment {
    const variables = Object.fromEntries(Object.entries(row.variables).map(([name, each]) => [name, each.value]));
    return {
      app,
      alias,
      deploymentId: id,
      root: this.#folders.pathOf(app, id),
      ...(manifest.image === undefined ? {} : { imageRoot: this.#images.rootPath(manifest.image.root) }),
      manifest,
      variables,
      revision: `${app}/${id}/${alias}/${row.revision}`,
    };
  }

  #rows<Row>(prefix: string): Named<Row>[] {
    return this.#meta.list(prefix).map(({ key, value }) => ({ name: lastPart(key), ...(JSON.parse(value) as Row) }));
  }
}

/** `APP/ID` of a revision made above: the folder that its instances run from. */
export function folderOfRevision(revision: string): string {
  return revision.split("/").slice(0, 2).join("/");
}

/** The rows are our own: what is read is what was written. */
function parse<Row>(text: string | null): Row | null {
  return text === null ? null : (JSON.parse(text) as Row);
}

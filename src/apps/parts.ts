/** What the services of `apps/` share; `apps.ts` makes it once. */
import type { LiveDeployment } from "../contract/deployment.ts";
import type { Running } from "../contract/running.ts";
import type { Clock } from "../lib/clock.ts";
import type { KeyLock } from "../lib/key-lock.ts";
import type { Catalog } from "./catalog.ts";
import type { ContentStore } from "./content-store.ts";
import type { DeploymentFolders } from "./deployment-folders.ts";
import type { ImageStore } from "./images/image-store.ts";
import type { MetaStore } from "./meta/meta-store.ts";
import type { OpenDeploys } from "./open-deploys.ts";
import type { Pins } from "./pins.ts";

export interface Parts {
  readonly meta: MetaStore;
  readonly content: ContentStore;
  readonly folders: DeploymentFolders;
  readonly images: ImageStore;
  readonly catalog: Catalog;
  readonly deploys: OpenDeploys;
  readonly pins: Pins;
  readonly running: Running;
  /** By app: alias moves, variables, removal and collection of one app happen one after the other. */
  readonly lock: KeyLock;
  readonly clock: Clock;
  readonly newId: () => string;
  readonly runtimeVersion: string;
  /** From now on requests for (app, alias) go there; the row that says so is durable already. */
  readonly publish: (app: string, alias: string, live: LiveDeployment | null) => void;
}

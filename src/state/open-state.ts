/** Everything of the room, put together: the kinds of state there are, and what looks after what they leave behind. */
import type { Resource, StateService } from "../contract/durable.ts";
import type { Keyspace } from "../contract/keyspace.ts";
import { createEnvironments, type EnvironmentRegistry } from "./environments.ts";
import { createKv } from "./kv/kv.ts";
import { createStateService } from "./state-service.ts";
import { createSweeper } from "./sweeper.ts";

export interface State {
  readonly service: StateService;
  readonly environments: EnvironmentRegistry;
  /** The app is deleted: what it has stored is out of reach when this resolves, and is removed little by little. */
  retire(app: string): Promise<void>;
  close(): Promise<void>;
}

export interface StateOptions {
  /** Stays the caller's to close, after this. */
  readonly keyspace: Keyspace;
  /** Told what went wrong where nobody waits for an answer. */
  readonly onError: (error: unknown) => void;
}

export function openState({ keyspace, onError }: StateOptions): State {
  const environments = createEnvironments(keyspace);
  const sweeper = createSweeper(keyspace, () => new Promise((resolve) => setImmediate(resolve)));
  const resources: readonly Resource[] = [createKv(keyspace)];
  sweeper.sweep().catch(onError);
  return {
    service: createStateService({ keyspace, environments, resources }),
    environments,
    async retire(app) {
      await environments.retire(app);
      sweeper.sweep().catch(onError);
    },
    close: () => sweeper.close(),
  };
}

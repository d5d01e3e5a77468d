/** State as the control API sees it: the same reads and writes as of a handler, in the name of an app and alias. */
import type { OpenBlob } from "../contract/blob-links.ts";
import type { Environment, StateService } from "../contract/durable.ts";
import type { ManagingState } from "../contract/managing-state.ts";
import type { Effect } from "../wire/effects.ts";
import type { LinkOffice } from "./blob/blob-links.ts";
import type { BlobTransfers } from "./blob/blob-transfers.ts";
import type { EnvironmentRegistry } from "./environments.ts";

export function createManagingState(
  service: StateService,
  environments: EnvironmentRegistry,
  transfers: BlobTransfers,
  links: LinkOffice,
): ManagingState {
  async function commit(environment: Environment, effect: Effect): Promise<unknown> {
    const outcome = await service.commit(environment, { checks: [], writes: [], seen: [], effects: [effect] });
    if (outcome.kind !== "committed") throw new TypeError("a commit without checks has lost one");
    return outcome.results[0];
  }

  return {
    async read(app, alias, read) {
      return (await service.read(await environments.get(app, alias), read)).value;
    },
    write: async (app, alias, effect) => await commit(await environments.get(app, alias), effect),
    async putBlob(app, alias, blob, chunks) {
      return (await transfers.put(await environments.get(app, alias), blob, chunks)).isDone;
    },
    linkBlob: async (app, alias, store, args) =>
      await links.give(await environments.get(app, alias), store, args, null),
    async openBlob(app, alias, store, key) {
      const found = await transfers.open(await environments.get(app, alias), store, key);
      return found === null ? null : { entry: found.entry, chunks: wholeOf(found) };
    },
  };
}

async function* wholeOf(blob: OpenBlob): AsyncGenerator<Uint8Array> {
  try {
    yield* blob.chunks(0, blob.entry.value.size);
  } finally {
    await blob.close();
  }
}

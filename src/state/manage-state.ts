/** State as the control API sees it: the same reads and writes as of a handler, in the name of an app and alias. */
import type { Environment, StateService } from "../contract/durable.ts";
import { AloftError } from "../contract/errors.ts";
import type { ManagingState } from "../contract/managing-state.ts";
import { type BlobEntry, blobPieceBytes } from "../wire/blob-shapes.ts";
import type { Effect } from "../wire/effects.ts";
import type { BlobContents } from "./blob/blob-contents.ts";
import type { EnvironmentRegistry } from "./environments.ts";

export function createManagingState(
  service: StateService,
  environments: EnvironmentRegistry,
  contents: BlobContents,
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
    async putBlob(app, alias, { store, key, contentType }, chunks) {
      const environment = await environments.get(app, alias);
      const upload = await contents.begin(environment);
      try {
        for await (const chunk of chunks) await upload.write(chunk);
      } catch (error) {
        await upload.abort();
        throw error;
      }
      const uploaded = await upload.finish();
      const args = { key, upload: uploaded.upload, value: { hash: uploaded.hash, contentType } };
      return (await commit(environment, { resource: "blob", name: store, method: "set", args })) === true;
    },
    async openBlob(app, alias, store, key) {
      const environment = await environments.get(app, alias);
      const read = { resource: "blob", name: store, method: "get", args: { key } } as const;
      for (let tries = 0; tries < openTriesMax; tries++) {
        const entry = (await service.read(environment, read)).value as BlobEntry | null;
        if (entry === null) return null;
        // Replaced and removed in between: then the entry is another one.
        const file = await contents.open(environment, entry.value.hash);
        if (file !== null) return { entry, chunks: chunksOf(file) };
      }
      throw new AloftError("DATA_CORRUPT", `the content of the blob ${store}/${key} is not on the disk`);
    },
  };
}

const openTriesMax = 5;

async function* chunksOf(file: Awaited<ReturnType<BlobContents["open"]>> & object): AsyncGenerator<Uint8Array> {
  try {
    for (let at = 0; ;) {
      // Each has memory of its own: it is on its way to a socket while the next one is read.
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(blobPieceBytes), 0, blobPieceBytes, at);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
      at += bytesRead;
    }
  } finally {
    await file.close();
  }
}

/** A backup of the whole server, as one archive that is made while it is sent (`backup/archive.ts`). */
import type { Resource } from "./route-table.ts";

export const backupResources: readonly Resource[] = [
  {
    method: "GET",
    path: "/v1/backup",
    handle: async ({ deps, signal }) => ({
      kind: "stream",
      contentType: "application/x-tar",
      chunks: await deps.backups.open(),
      signal,
    }),
  },
];

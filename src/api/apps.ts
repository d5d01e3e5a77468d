/** Apps: listing, looking at one, removing one. They come into being by their first deploy. */
import { json } from "./answer.ts";
import type { Resource } from "./route-table.ts";

export const appResources: readonly Resource[] = [
  { method: "GET", path: "/v1/apps", handle: ({ deps }) => json({ apps: deps.apps.listApps() }) },
  { method: "GET", path: "/v1/apps/:app", handle: ({ deps, params }) => json(deps.apps.getApp(params["app"] ?? "")) },
  {
    method: "DELETE",
    path: "/v1/apps/:app",
    async handle({ deps, params }) {
      await deps.apps.removeApp(params["app"] ?? "");
      return json({ deleted: true });
    },
  },
];

/** The server as a whole. */
import { json } from "./answer.ts";
import type { Resource } from "./route-table.ts";

export const statusResources: readonly Resource[] = [
  { method: "GET", path: "/v1/status", handle: ({ deps }) => json(deps.status()) },
  {
    method: "GET",
    path: "/v1/metrics",
    handle: ({ deps }) => ({
      kind: "bytes",
      headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" },
      body: deps.metrics(),
    }),
  },
];

/** Functions of what an alias names: listing them and calling one. */
import { validateHeaderValue } from "node:http";
import { limits } from "../contract/limits.ts";
import { json } from "./answer.ts";
import { readBytes } from "./body.ts";
import { saidInHeaders } from "./lambda-headers.ts";
import type { Resource } from "./route-table.ts";

export const functionResources: readonly Resource[] = [
  {
    method: "GET",
    path: "/v1/apps/:app/functions",
    query: ["alias"],
    handle: ({ deps, params, query }) =>
      json({ functions: deps.apps.listFunctions(params["app"] ?? "", query.alias()) }),
  },
  {
    method: "POST",
    path: "/v1/apps/:app/functions/:function/invoke",
    query: ["alias"],
    async handle({ deps, params, query, request, signal }) {
      const { app = "", function: name = "" } = params;
      const alias = query.alias();
      deps.apps.getApp(app);
      const said = saidInHeaders(request);
      const payload = await readBytes(request, limits.payloadBytes);
      const result = await deps.caller.call({ app, alias, function: name, payload, ...said, signal });
      return {
        kind: "bytes",
        headers: {
          "content-type": safeContentType(result.contentType),
          "aloft-invocation": result.invocationId,
          "aloft-cold": String(result.cold),
          "aloft-wait-us": String(result.waitUs),
          "aloft-handler-us": String(result.handlerUs),
          "aloft-status": String(result.status),
        },
        body: result.body,
      };
    },
  },
];

/** It comes from user code. */
function safeContentType(contentType: string): string {
  try {
    validateHeaderValue("content-type", contentType);
    return contentType || "application/octet-stream";
  } catch {
    return "application/octet-stream";
  }
}

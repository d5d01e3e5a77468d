/** Deployments that are stored, and going back to one of them. */
import type { RollbackJson } from "../contract/api.ts";
import { AloftError } from "../contract/errors.ts";
import { productionAlias } from "../contract/names.ts";
import { json } from "./answer.ts";
import { readJsonObject } from "./body.ts";
import type { Resource } from "./route-table.ts";

export const deploymentResources: readonly Resource[] = [
  {
    method: "GET",
    path: "/v1/apps/:app/deployments",
    handle: ({ deps, params }) => json({ deployments: deps.apps.listDeployments(params["app"] ?? "") }),
  },
  {
    method: "POST",
    path: "/v1/apps/:app/rollback",
    async handle({ deps, params, request }) {
      const wanted = parseRollback(await readJsonObject(request));
      return json(await deps.apps.rollback(params["app"] ?? "", wanted));
    },
  },
];

function parseRollback(body: Readonly<Record<string, unknown>>): RollbackJson {
  const { alias = productionAlias, deployment, ...rest } = body;
  const unknown = Object.keys(rest)[0];
  if (unknown !== undefined) throw new AloftError("REQUEST_INVALID", `there is no member "${unknown}" here`);
  if (typeof alias !== "string") throw new AloftError("REQUEST_INVALID", "alias must be a string");
  if (deployment === undefined) return { alias };
  if (typeof deployment !== "string") throw new AloftError("REQUEST_INVALID", "deployment must be a string");
  return { alias, deployment };
}

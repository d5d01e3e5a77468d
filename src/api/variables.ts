/** Variables of an app and alias. Values go in and never come out. */
import { AloftError } from "../contract/errors.ts";
import type { VariableChange } from "../contract/managing.ts";
import { json } from "./answer.ts";
import { readJsonObject } from "./body.ts";
import type { Resource } from "./route-table.ts";

export const variableResources: readonly Resource[] = [
  {
    method: "GET",
    path: "/v1/apps/:app/variables",
    query: ["alias"],
    handle: ({ deps, params, query }) =>
      json({ variables: deps.apps.listVariables(params["app"] ?? "", query.alias()) }),
  },
  {
    method: "PATCH",
    path: "/v1/apps/:app/variables",
    query: ["alias"],
    async handle({ deps, params, query, request }) {
      const alias = query.alias();
      const change = parseChange(await readJsonObject(request));
      return json({ variables: await deps.apps.changeVariables(params["app"] ?? "", alias, change) });
    },
  },
];

function parseChange(body: Readonly<Record<string, unknown>>): VariableChange {
  const { set = {}, unset = [], ...rest } = body;
  const unknown = Object.keys(rest)[0];
  if (unknown !== undefined) throw invalid(`there is no member "${unknown}" here, only set and unset`);
  if (typeof set !== "object" || set === null || Array.isArray(set)) throw invalid("set must be an object of strings");
  for (const [name, value] of Object.entries(set)) {
    if (typeof value !== "string") throw invalid(`set.${name.slice(0, 100)} must be a string`);
  }
  if (!Array.isArray(unset) || !unset.every((name) => typeof name === "string")) {
    throw invalid("unset must be a list of names");
  }
  return { set: set as Record<string, string>, unset };
}

function invalid(message: string): AloftError {
  return new AloftError("REQUEST_INVALID", message);
}

/** A deploy on its way: begun, sent file by file, finished. */
import { AloftError } from "../contract/errors.ts";
import { limits } from "../contract/limits.ts";
import { json } from "./answer.ts";
import { bodyChunks, readJsonObject } from "./body.ts";
import type { Resource } from "./route-table.ts";

export const deployResources: readonly Resource[] = [
  {
    method: "POST",
    path: "/v1/apps/:app/deploys",
    async handle({ deps, params, request }) {
      return json(await deps.apps.beginDeploy(params["app"] ?? "", await readJsonObject(request)));
    },
  },
  {
    method: "PUT",
    path: "/v1/apps/:app/deploys/:number/files/:hash",
    async handle({ deps, params, request }) {
      const { app = "", number = "", hash = "" } = params;
      await deps.apps.receiveFile(
        app,
        parseNumber(number),
        hash,
        bodyChunks(request, Math.max(limits.fileBytes, limits.imageLayerBytes)),
      );
      return json({ stored: true });
    },
  },
  {
    method: "POST",
    path: "/v1/apps/:app/deploys/:number/finish",
    async handle({ deps, params }) {
      const { app = "", number = "" } = params;
      return json(await deps.apps.finishDeploy(app, parseNumber(number)));
    },
  },
];

function parseNumber(text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  throw new AloftError("DEPLOY_NOT_FOUND", `"${text}" is not the number of a deploy`);
}

/** Schedules of an app's functions: when they come next, run now, pause. */
import { json } from "./answer.ts";
import { readBytes } from "./body.ts";
import type { ApiCall, Resource } from "./route-table.ts";

export const cronResources: readonly Resource[] = [
  {
    method: "GET",
    path: "/v1/apps/:app/crons",
    query: ["alias"],
    async handle(call) {
      const { app, alias } = targetOf(call);
      return json({ crons: await call.deps.triggers.listCrons(app, alias) });
    },
  },
  {
    method: "POST",
    path: "/v1/apps/:app/crons/:cron/run",
    query: ["alias"],
    async handle(call) {
      const { app, alias } = await actionOf(call);
      return json(await call.deps.triggers.runCron(app, alias, call.params["cron"] ?? ""));
    },
  },
  ...(["pause", "resume"] as const).map((action): Resource => ({
    method: "POST",
    path: `/v1/apps/:app/crons/:cron/${action}`,
    query: ["alias"],
    async handle(call) {
      const { app, alias } = await actionOf(call);
      return json(await call.deps.triggers.pauseCron(app, alias, call.params["cron"] ?? "", action === "pause"));
    },
  })),
];

/** Throws APP_NOT_FOUND. */
export function targetOf({ deps, params, query }: ApiCall): { readonly app: string; readonly alias: string } {
  const app = params["app"] ?? "";
  deps.apps.getApp(app);
  return { app, alias: query.alias() };
}

/** Of a request whose body says nothing. */
export async function actionOf(call: ApiCall): Promise<{ readonly app: string; readonly alias: string }> {
  const target = targetOf(call);
  await readBytes(call.request, 1024);
  return target;
}

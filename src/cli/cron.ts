/** `aloft cron list|run|pause|resume` */
import type { CronJson, CronRunJson } from "../contract/triggering.ts";
import { nearestWord } from "../lib/edit-distance.ts";
import { usageError } from "./arguments.ts";
import type { Context } from "./command.ts";
import { withSuggestions } from "./suggestions.ts";
import { aliasOf, appOf } from "./targets.ts";

const actions = ["list", "run", "pause", "resume"];

export async function run(context: Context): Promise<number> {
  const [action = "", appWord, name, ...rest] = context.words;
  if (!actions.includes(action)) {
    const meant = nearestWord(action, actions);
    throw usageError(`aloft cron has no action "${action}"`, "cron", meant === null ? null : `aloft cron ${meant}`);
  }
  const app = appOf(appWord);
  const query = { alias: aliasOf(context.flags) };
  if ((action === "list") !== (name === undefined) || rest.length > 0) {
    throw usageError(
      action === "list"
        ? "aloft cron list takes only the name of an app"
        : `aloft cron ${action} needs the name of a cron`,
      "cron",
    );
  }
  const client = await context.client();
  const { terminal, json } = context;
  await withSuggestions(client, { app }, async () => {
    if (name === undefined) {
      const { crons } = await client.ask<{ crons: CronJson[] }>("GET", `/v1/apps/${app}/crons`, { query });
      if (json) terminal.printJson(crons);
      else terminal.printTable(["cron", "schedule", "next", "last", "ok", "failed"], crons.map(rowOf));
      return;
    }
    const path = `/v1/apps/${app}/crons/${encodeURIComponent(name)}/${action}`;
    const answer = await client.ask<CronJson & CronRunJson>("POST", path, { query });
    if (json) terminal.printJson(answer);
    else if (action === "run") terminal.print(`${name} has run: ${JSON.stringify(answer.value)}`);
    else
      terminal.print(action === "pause" ? `${name} is paused` : `${name} comes next at ${answer.next[0] ?? "no time"}`);
  });
  return 0;
}

function rowOf({ name, schedule, timezone, next, paused, running, last, succeeded, failed }: CronJson): string[] {
  const shown = timezone === "UTC" ? schedule : `${schedule} (${timezone})`;
  const comes = paused ? "paused" : running ? "running" : (next[0] ?? "never");
  const was = last === null ? "-" : `${last.scheduledAt}${last.error === null ? "" : ` ${last.error.slice(0, 40)}`}`;
  return [name, shown, comes, was, String(succeeded), String(failed)];
}

/** `aloft deployments` */
import { formatBytes } from "../lib/sizes.ts";
import type { Context } from "./command.ts";
import { formatMoment, shortId } from "./formatting.ts";
import { withSuggestions } from "./suggestions.ts";
import { appOf } from "./targets.ts";

export async function run(context: Context): Promise<number> {
  const app = appOf(context.words[0]);
  const client = await context.client();
  const deployments = await withSuggestions(client, { app }, () => client.listDeployments(app));
  if (context.json) {
    context.terminal.printJson(deployments);
    return 0;
  }
  const rows = deployments.map((each) => [
    shortId(each.id),
    formatMoment(each.createdAt),
    String(each.functions),
    String(each.files),
    formatBytes(each.bytes),
    each.aliases.join(" "),
  ]);
  context.terminal.printTable(["deployment", "created", "functions", "files", "size", "live as"], rows);
  return 0;
}

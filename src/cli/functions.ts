/** `aloft functions` */
import type { Context } from "./command.ts";
import { printFunctions } from "./formatting.ts";
import { withSuggestions } from "./suggestions.ts";
import { aliasOf, appOf } from "./targets.ts";

export async function run(context: Context): Promise<number> {
  const app = appOf(context.words[0]);
  const alias = aliasOf(context.flags);
  const client = await context.client();
  const functions = await withSuggestions(client, { app }, () => client.listFunctions(app, alias));
  if (context.json) context.terminal.printJson(functions);
  else printFunctions(functions, context.terminal);
  return 0;
}

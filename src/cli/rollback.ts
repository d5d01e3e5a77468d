/** `aloft rollback` */
import type { Context } from "./command.ts";
import { deployedText, printFunctions } from "./formatting.ts";
import { withSuggestions } from "./suggestions.ts";
import { aliasOf, appOf } from "./targets.ts";

export async function run({ words, flags, json, terminal, client: openClient }: Context): Promise<number> {
  const app = appOf(words[0]);
  const deployment = words[1];
  const alias = aliasOf(flags);
  const client = await openClient();
  const wanted = deployment === undefined ? { alias } : { alias, deployment };
  const deployed = await withSuggestions(client, { app }, () => client.rollback(app, wanted));
  if (json) {
    terminal.printJson(deployed);
    return 0;
  }
  const { paint } = terminal;
  terminal.print(
    `${deployed.changed ? paint("green", "rolled back") : "already live"} ${deployedText(deployed, paint)}`,
  );
  printFunctions(deployed.functions, terminal);
  return 0;
}

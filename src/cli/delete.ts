/** `aloft delete` */
import { AloftError } from "../contract/errors.ts";
import type { Context } from "./command.ts";
import { withSuggestions } from "./suggestions.ts";
import { appOf } from "./targets.ts";

export async function run({ words, flags, json, terminal, client: openClient }: Context): Promise<number> {
  const app = appOf(words[0]);
  const client = await openClient();
  if (!flags.has("yes")) {
    if (!terminal.interactive) {
      throw new AloftError("USAGE", `aloft delete ${app} was given where nobody can be asked`, {
        hint: `write aloft delete ${app} --yes`,
      });
    }
    const { confirm } = await import("./asking.ts");
    if (!(await confirm(`delete ${app} with all its deployments and variables on ${client.server}?`, terminal))) {
      terminal.note("nothing deleted");
      return 1;
    }
  }
  await withSuggestions(client, { app }, () => client.deleteApp(app));
  if (json) terminal.printJson({ app, deleted: true });
  else terminal.print(`deleted ${app}`);
  return 0;
}

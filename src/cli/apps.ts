/** `aloft apps` */
import { productionAlias } from "../contract/names.ts";
import type { Context } from "./command.ts";
import { shortId } from "./formatting.ts";

export async function run({ terminal, json, client }: Context): Promise<number> {
  const apps = await (await client()).listApps();
  if (json) {
    terminal.printJson(apps);
  } else if (apps.length === 0) {
    terminal.note("no apps yet; `aloft deploy DIR` makes one");
  } else {
    const rows = apps.map((app) => {
      const live = app.aliases.find(({ name }) => name === productionAlias);
      const others = app.aliases.filter(({ name }) => name !== productionAlias).map(({ name }) => name);
      return [
        app.name,
        live === undefined ? "-" : shortId(live.deployment),
        String(app.functions),
        app.urls[0] ?? "-",
        others.join(" "),
      ];
    });
    terminal.printTable(["app", "production", "functions", "url", "other aliases"], rows);
  }
  return 0;
}

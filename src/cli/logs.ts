/** `aloft logs` */
import type { LogFilter, LogLine } from "../contract/observing.ts";
import type { Context } from "./command.ts";
import { logText } from "./formatting.ts";
import { withSuggestions } from "./suggestions.ts";
import { choiceOf, limitOf, momentOf, targetOf, withoutUndefined } from "./targets.ts";

export async function run({ words, flags, json, terminal, client: openClient }: Context): Promise<number> {
  const { app, function: name } = targetOf(words[0]);
  const nowMs = Date.now();
  const filter: LogFilter = withoutUndefined<LogFilter>({
    function: name ?? undefined,
    invocation: flags.text("invocation"),
    level: choiceOf(flags, "level", ["debug", "info", "warn", "error"]),
    sinceMs: momentOf(flags, "since", nowMs),
    untilMs: momentOf(flags, "until", nowMs),
    limit: limitOf(flags, 10_000),
  });
  const client = await openClient();
  const print = (line: LogLine) => {
    if (json) terminal.printJson(line, "compact");
    else terminal.print(logText(line, terminal.paint));
  };
  await withSuggestions(client, { app }, async () => {
    if (flags.has("follow")) {
      for await (const line of client.followLogs(app, filter, terminal.closed)) print(line);
    } else {
      for (const line of await client.listLogs(app, filter)) print(line);
    }
  });
  return 0;
}

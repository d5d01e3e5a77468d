/** `aloft invocations` */
import { AloftError } from "../contract/errors.ts";
import type { InvocationRecord, RecordFilter } from "../contract/observing.ts";
import type { Context } from "./command.ts";
import { recordText } from "./formatting.ts";
import { withSuggestions } from "./suggestions.ts";
import { choiceOf, limitOf, momentOf, targetOf, withoutUndefined } from "./targets.ts";

export async function run({ words, flags, json, terminal, client: openClient }: Context): Promise<number> {
  const id = flags.text("id");
  if (id !== undefined) {
    const record = await (await openClient()).getInvocation(id);
    if (json) terminal.printJson(record);
    else for (const [name, value] of Object.entries(record)) terminal.print(`${name.padEnd(13)} ${value}`);
    return 0;
  }
  if (words[0] === undefined) {
    throw new AloftError("USAGE", "aloft invocations needs an app or --id", { hint: "write aloft invocations APP" });
  }

  const { app, function: name } = targetOf(words[0]);
  const nowMs = Date.now();
  const filter = withoutUndefined<RecordFilter>({
    function: name ?? undefined,
    outcome: choiceOf(flags, "outcome", ["ok", "error", "timeout", "cancelled", "rejected"]),
    sinceMs: momentOf(flags, "since", nowMs),
    untilMs: momentOf(flags, "until", nowMs),
    limit: limitOf(flags, 1000),
  });
  const client = await openClient();
  const print = (record: InvocationRecord) => {
    if (json) terminal.printJson(record, "compact");
    else terminal.print(recordText(record, terminal.paint));
  };
  await withSuggestions(client, { app }, async () => {
    if (flags.has("follow")) {
      for await (const record of client.followInvocations(app, filter, terminal.closed)) print(record);
      return;
    }
    const records = await client.listInvocations(app, filter);
    if (json) terminal.printJson(records);
    // The newest stands last, as it does when following.
    else for (const record of records.toReversed()) print(record);
  });
  return 0;
}

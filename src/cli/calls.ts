/** `aloft calls`: what has become of calls that were begun with `aloft invoke --async`, by code or over the API. */
import type { AsyncCallFilter, AsyncCallJson } from "../contract/async-calls.ts";
import { AloftError } from "../contract/errors.ts";
import type { ControlClient } from "./client.ts";
import type { Context } from "./command.ts";
import { formatMoment } from "./formatting.ts";
import { withSuggestions } from "./suggestions.ts";
import { aliasOf, appOf, choiceOf, limitOf, targetOf, withoutUndefined } from "./targets.ts";

const waitMs = 20_000;

export async function run(context: Context): Promise<number> {
  const [action = "", target] = context.words;
  switch (action) {
    case "list":
      return await list(context, target);
    case "show":
      return await show(context);
    case "cancel":
      return await cancel(context);
    default:
      throw new AloftError("USAGE", `"${action}" is not something to do with calls`, {
        hint: "write aloft calls list APP, aloft calls show APP ID or aloft calls cancel APP ID",
      });
  }
}

/** The call once it has ended. */
export async function waitForCall(
  client: ControlClient,
  app: string,
  alias: string,
  id: string,
): Promise<AsyncCallJson> {
  for (;;) {
    const call = await client.getCall(app, alias, id, waitMs);
    if (call.status !== "pending") return call;
  }
}

export function printCall({ json, terminal }: Context, call: AsyncCallJson): number {
  if (json) terminal.printJson(call);
  else if (call.status === "succeeded") terminal.print(JSON.stringify(call.result ?? null, null, 2));
  else if (call.status === "failed") terminal.note(`failed: ${call.error?.type ?? ""}: ${call.error?.message ?? ""}`);
  else terminal.note(call.status);
  return call.status === "failed" ? 1 : 0;
}

async function list({ flags, json, terminal, client: open }: Context, word: string | undefined): Promise<number> {
  const { app, function: name } = targetOf(word);
  const alias = aliasOf(flags);
  const filter = withoutUndefined<AsyncCallFilter>({
    function: name ?? undefined,
    status: choiceOf(flags, "status", ["pending", "succeeded", "failed", "cancelled"]),
    limit: limitOf(flags, 1000),
    before: flags.text("before"),
  });
  const client = await open();
  const calls = await withSuggestions(client, { app }, () => client.listCalls(app, alias, filter));
  if (json) {
    terminal.printJson(calls);
    return 0;
  }
  const rows = calls.map((call) => [
    call.id,
    call.function,
    call.status,
    formatMoment(new Date(call.createdAtMs).toISOString()),
    call.attempts === undefined ? "-" : String(call.attempts),
    call.error?.message.slice(0, 60) ?? "",
  ]);
  terminal.printTable(["call", "function", "status", "made", "tries", "error"], rows);
  return 0;
}

async function show(context: Context): Promise<number> {
  const { app, id } = oneCall(context, "show");
  const alias = aliasOf(context.flags);
  const client = await context.client();
  const call = context.flags.has("wait")
    ? await waitForCall(client, app, alias, id)
    : await client.getCall(app, alias, id);
  if (context.json) return printCall(context, call);
  const { terminal } = context;
  for (const [name, value] of Object.entries(call)) {
    terminal.print(`${name.padEnd(12)} ${typeof value === "object" ? JSON.stringify(value) : String(value)}`);
  }
  return call.status === "failed" ? 1 : 0;
}

async function cancel(context: Context): Promise<number> {
  const { app, id } = oneCall(context, "cancel");
  const client = await context.client();
  const { cancelled, status } = await client.cancelCall(app, aliasOf(context.flags), id);
  if (context.json) context.terminal.printJson({ cancelled, status });
  else context.terminal.note(cancelled ? `cancelled ${id}` : `${id} has ended already: ${status}`);
  return cancelled ? 0 : 1;
}

function oneCall({ words }: Context, action: string): { app: string; id: string } {
  const [, app, id] = words;
  if (id !== undefined) return { app: appOf(app), id };
  throw new AloftError("USAGE", `aloft calls ${action} needs an app and the id of a call`, {
    hint: "aloft calls list APP lists them",
  });
}

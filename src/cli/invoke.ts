/** `aloft invoke`: the answer's bytes go to stdout as they are, so that they can be piped; what is about them to stderr. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { buffer } from "node:stream/consumers";
import { AloftError } from "../contract/errors.ts";
import { formatMicros } from "../lib/durations.ts";
import { printCall, waitForCall } from "./calls.ts";
import type { ControlClient, Invoked, StartCall } from "./client.ts";
import type { Context } from "./command.ts";
import { withSuggestions } from "./suggestions.ts";
import { aliasOf, targetOf, withoutUndefined } from "./targets.ts";

export async function run(context: Context): Promise<number> {
  const { words, flags, json, terminal } = context;
  const { app, function: name } = targetOf(words[0]);
  if (name === null) {
    throw new AloftError("USAGE", `"${app}" names no function`, {
      hint: `write aloft invoke ${app}/FUNCTION; aloft functions ${app} lists them`,
    });
  }
  const alias = aliasOf(flags);
  const payload = await readPayload(context);
  const client = await context.client();
  if (flags.has("async")) return await startCall(context, client, { app, name, alias, payload });
  const misplaced = asyncFlags.find((flag) => flags.has(flag));
  if (misplaced !== undefined) throw new AloftError("USAGE", `--${misplaced} goes with --async`);
  const invoked = await withSuggestions(client, { app, function: name, alias }, () =>
    client.invoke(app, name, alias, payload),
  );

  // An http function that answered 5xx did answer; whether that is a failure is for exit codes as it is for callers.
  const failed = invoked.status >= 500;
  if (json) {
    const { body: _body, ...facts } = invoked;
    terminal.printJson({ ...facts, result: resultOf(invoked) });
    return failed ? 1 : 0;
  }
  terminal.write(invoked.body);
  // On a terminal the note below must not stand behind the answer's last line.
  if (terminal.live && invoked.body.length > 0 && invoked.body.at(-1) !== 0x0a) terminal.write("\n");
  const { paintNote } = terminal;
  const status = invoked.status === 200 ? "" : `${paintNote(failed ? "red" : "yellow", `status ${invoked.status}`)}, `;
  const start = invoked.cold ? paintNote("cyan", `cold, waited ${formatMicros(invoked.waitUs)}`) : "warm";
  terminal.note(
    paintNote("dim", `${status}${formatMicros(invoked.handlerUs)}, ${start}, invocation ${invoked.invocationId}`),
  );
  return failed ? 1 : 0;
}

const asyncFlags = ["wait", "delay", "max-age", "retry", "on-success", "on-failure", "idempotency-key"] as const;

async function startCall(
  context: Context,
  client: ControlClient,
  { app, name, alias, payload }: { app: string; name: string; alias: string; payload: Uint8Array },
): Promise<number> {
  const { flags, json, terminal } = context;
  const options = withoutUndefined<StartCall>({
    delay: flags.text("delay"),
    maxAge: flags.text("max-age"),
    retry: flags.text("retry"),
    onSuccess: flags.text("on-success"),
    onFailure: flags.text("on-failure"),
    idempotencyKey: flags.text("idempotency-key"),
  });
  const begun = await withSuggestions(client, { app, function: name, alias }, () =>
    client.startCall(app, name, alias, payload, options),
  );
  if (flags.has("wait")) return printCall(context, await waitForCall(client, app, alias, begun.id));
  if (json) terminal.printJson(begun);
  else terminal.print(begun.id);
  return 0;
}

async function readPayload({ flags, folder, terminal }: Context): Promise<Uint8Array> {
  const data = flags.text("data");
  if (data === undefined) return Buffer.alloc(0);
  if (data === "-") return await buffer(terminal.stdin);
  if (data.startsWith("@")) return await readInputFile(resolve(folder, data.slice(1)));
  try {
    JSON.parse(data);
  } catch (error) {
    throw new AloftError("USAGE", `--data is not JSON: ${(error as Error).message}`, {
      hint: `quote it for the shell, as in --data '{"name":"Ada"}'; text is written as --data '"text"'`,
    });
  }
  return Buffer.from(data);
}

async function readInputFile(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (error) {
    throw new AloftError("USAGE", `${file} cannot be read: ${(error as NodeJS.ErrnoException).code}`, { cause: error });
  }
}

/** JSON as what it says, text as a string, the rest in base64. */
function resultOf({ body, contentType }: Invoked): unknown {
  if (body.length === 0) return null;
  const text = body.toString("utf8");
  if (/[/+]json/i.test(contentType)) {
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  }
  return Buffer.from(text, "utf8").equals(body) ? text : { base64: body.toString("base64") };
}

/** `aloft env set|unset|list` */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { text as readText } from "node:stream/consumers";
import { AloftError } from "../contract/errors.ts";
import { isVariableName } from "../contract/names.ts";
import { nearestWord } from "../lib/edit-distance.ts";
import { usageError } from "./arguments.ts";
import type { Context } from "./command.ts";
import { formatMoment } from "./formatting.ts";
import { withSuggestions } from "./suggestions.ts";
import { aliasOf, appOf } from "./targets.ts";

export async function run(context: Context): Promise<number> {
  const [action = "", appWord, ...rest] = context.words;
  if (action !== "set" && action !== "unset" && action !== "list") {
    const meant = nearestWord(action, ["set", "unset", "list"]);
    throw usageError(`aloft env has no action "${action}"`, "env", meant === null ? null : `aloft env ${meant}`);
  }
  const app = appOf(appWord);
  const alias = aliasOf(context.flags);
  if (action === "list" ? rest.length > 0 : rest.length === 0) {
    const message =
      action === "list" ? "aloft env list takes only the name of an app" : `aloft env ${action} needs a name`;
    throw usageError(message, "env");
  }

  const set = action === "set" ? await readAssignments(rest, context) : {};
  const unset = action === "unset" ? rest.map(variableName) : [];
  const client = await context.client();
  const variables = await withSuggestions(client, { app }, () =>
    action === "list" ? client.listVariables(app, alias) : client.changeVariables(app, alias, { set, unset }),
  );
  if (context.json) {
    context.terminal.printJson(variables);
  } else if (action === "list") {
    context.terminal.printTable(
      ["variable", "updated"],
      variables.map(({ name, updatedAt }) => [name, formatMoment(updatedAt)]),
    );
  } else {
    const names = [...Object.keys(set), ...unset];
    context.terminal.print(`${action === "set" ? "set" : "removed"} ${names.join(", ")} of ${app} (${alias})`);
  }
  return 0;
}

async function readAssignments(words: readonly string[], context: Context): Promise<Record<string, string>> {
  const withoutValue = words.filter((word) => !word.includes("="));
  if (withoutValue.length > 1 && !context.terminal.interactive) {
    throw usageError(`stdin can give the value of one name, not of ${withoutValue.join(", ")}`, "env");
  }
  const assignments: Record<string, string> = {};
  for (const word of words) {
    const at = word.indexOf("=");
    const name = variableName(at === -1 ? word : word.slice(0, at));
    assignments[name] = at === -1 ? await askValue(name, context) : await readValue(word.slice(at + 1), context.folder);
  }
  return assignments;
}

async function askValue(name: string, { terminal }: Context): Promise<string> {
  if (terminal.interactive) {
    const { askHidden } = await import("./asking.ts");
    return await askHidden(`value of ${name} (not shown): `, terminal);
  }
  // `echo secret |` ends with a line-end that nobody means.
  return (await readText(terminal.stdin)).replace(/\r?\n$/, "");
}

/** A file's content counts as it is, its last line-end included: a certificate wants it. */
async function readValue(value: string, folder: string): Promise<string> {
  if (!value.startsWith("@")) return value;
  const file = resolve(folder, value.slice(1));
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new AloftError("USAGE", `${file} cannot be read: ${(error as NodeJS.ErrnoException).code}`, { cause: error });
  }
}

function variableName(word: string): string {
  if (isVariableName(word)) return word;
  throw new AloftError("NAME_INVALID", `"${word}" is not a name for a variable`, {
    hint: "use letters, digits and _, not beginning with a digit",
  });
}

/** When a command names an app or a function that is not there, asks the server what is, and says the nearest. */
import { AloftError } from "../contract/errors.ts";
import { productionAlias } from "../contract/names.ts";
import { nearestWord } from "../lib/edit-distance.ts";
import type { ControlClient } from "./client.ts";

/** Runs the task; an APP_NOT_FOUND or FUNCTION_NOT_FOUND it throws gets the hint. */
export async function withSuggestions<T>(
  client: ControlClient,
  asked: { readonly app: string; readonly function?: string | null; readonly alias?: string },
  task: () => Promise<T>,
): Promise<T> {
  try {
    return await task();
  } catch (error) {
    if (!(error instanceof AloftError)) throw error;
    const found = await namesInstead(error, client, asked).catch(() => null);
    if (found === null) throw error;
    const meant = nearestWord(found.asked, found.names);
    const listed = found.names.length === 0 ? `there are no ${found.what}` : `there are ${listNames(found.names)}`;
    throw new AloftError(error.code, error.message, {
      hint: meant === null ? listed : `did you mean ${found.prefix}${meant}?`,
      detail: error.detail,
      cause: error,
    });
  }
}

const namesShown = 10;

interface Names {
  readonly asked: string;
  readonly names: readonly string[];
  readonly what: string;
  readonly prefix: string;
}

async function namesInstead(
  error: AloftError,
  client: ControlClient,
  asked: { readonly app: string; readonly function?: string | null; readonly alias?: string },
): Promise<Names | null> {
  if (error.code === "APP_NOT_FOUND") {
    const names = (await client.listApps()).map(({ name }) => name);
    return { asked: asked.app, names, what: "apps on this server", prefix: "" };
  }
  if (error.code === "FUNCTION_NOT_FOUND" && asked.function) {
    const functions = await client.listFunctions(asked.app, asked.alias ?? productionAlias);
    return {
      asked: asked.function,
      names: functions.map(({ name }) => name),
      what: "functions",
      prefix: `${asked.app}/`,
    };
  }
  return null;
}

function listNames(names: readonly string[]): string {
  const more = names.length > namesShown ? ` and ${names.length - namesShown} more` : "";
  return `${names.slice(0, namesShown).join(", ")}${more}`;
}

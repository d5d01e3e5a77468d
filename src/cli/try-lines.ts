/** For who starts the repository's own examples with `aloft dev`: two lines to paste, a greeting and a real document. */
import { routesOf } from "../contract/route.ts";
import { realpathSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import type { FunctionJson } from "../contract/api.ts";
import { productionAlias } from "../contract/names.ts";
import type { ControlClient } from "./client.ts";

/** None for other folders. `folder` is where the person stands, whom relative paths must suit. */
export async function tryLines(
  served: string,
  http: string,
  folder: string,
  client: ControlClient,
): Promise<readonly string[]> {
  const examples = resolve(import.meta.dirname, "..", "..", "examples");
  if (!isSameFolder(served, examples)) return [];
  const document = await findDocument(join(served, "insight"));
  const lines = [
    curlLine({ http, app: "hello", functions: await functionsOf("hello", client), document: null }),
    document === null
      ? null
      : curlLine({
          http,
          app: "insight",
          functions: await functionsOf("insight", client),
          document: relative(folder, document) || document,
        }),
  ];
  return lines.filter((line) => line !== null);
}

export interface CurlLineOptions {
  readonly http: string;
  readonly app: string;
  readonly functions: readonly FunctionJson[];
  /** A file to send; null: only asks. */
  readonly document: string | null;
}

/**
 * A line of curl that reaches the first function that takes such a request, or null when none does. The app is named by
 * header: not every system resolves `APP.localhost`.
 */
export function curlLine({ http, app, functions, document }: CurlLineOptions): string | null {
  const method = document === null ? "GET" : "POST";
  const trigger = functions
    .flatMap(({ triggers }) => routesOf(triggers))
    .find((each) => [method, "*"].includes(each.method));
  if (trigger === undefined) return null;
  const path = trigger.path.replace(/:\w+/g, "ada").replace(/\*.*$/, "");
  const body = document === null ? "" : ` --data-binary ${quoted(`@${document}`)} -H 'content-type: text/plain'`;
  return `curl -s -H 'aloft-app: ${app}'${body} ${quoted(http + path)}`;
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

async function functionsOf(app: string, client: ControlClient): Promise<readonly FunctionJson[]> {
  // Its first build may have failed: then there is no line for it.
  return await client.listFunctions(app, productionAlias).catch(() => []);
}

/** A text that lies with the example, else its own README. */
async function findDocument(folder: string): Promise<string | null> {
  const names = await readdir(folder).catch(() => []);
  const name =
    names.toSorted((a, b) => a.localeCompare(b)).find((each) => each.endsWith(".txt")) ??
    names.find((each) => each === "README.md");
  return name === undefined ? null : join(folder, name);
}

function isSameFolder(a: string, b: string): boolean {
  try {
    return realpathSync(a) === realpathSync(b);
  } catch {
    return false;
  }
}

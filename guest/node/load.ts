/**
 * From an imported module to the functions it holds:
 *
 *   what `http` and `fn` of the SDK made   the export's name
 *   default export with a method `fetch`   `default`: (request, env, context), as of Workers, Bun, Deno and Hono
 *   default export that is a function      `default`: (request, context), as of Vercel and Netlify
 *   export named `handler`                 a Lambda handler; so is every export that `awslambda.streamifyResponse` made
 *   Functions Framework registrations      the name they were registered under
 *
 * A CommonJS module arrives as a default export that holds the rest. Throws an error that names the export when one of
 * them is not valid; a module without any function is an empty list.
 */
import { type DeclaredFunction, findDeclaredFunction } from "../../sdk/declared-function.ts";
import type { Context } from "../../sdk/index.ts";
import { limitsFrom } from "../../sdk/options.ts";
import { parseRoute } from "../../sdk/route.ts";
import type { Registration } from "../../sdk/runtime-host.ts";
import { loadFetchApp } from "./fetch-app.ts";
import { loadRegistration } from "./functions-framework.ts";
import { loadLambda } from "./lambda.ts";
import { isStreaming } from "./lambda-stream.ts";
import type { LoadedFunction } from "./loaded-function.ts";
import { requestWithValue, valueOfResponse } from "./value-request.ts";
import type { WorkersEnvironment } from "./workers-module.ts";

export function loadFunctions(
  namespace: Readonly<Record<string, unknown>>,
  registrations: readonly Registration[],
  env: WorkersEnvironment,
): LoadedFunction[] {
  const functions: LoadedFunction[] = [];
  const seen = new Set<unknown>();
  for (const [name, value] of exportsOf(namespace)) {
    // One function under two names is one function; `default` comes last, so that the other name is kept.
    if (seen.has(value)) continue;
    const loaded = loadExport(name, value, env);
    if (loaded === null) continue;
    seen.add(value);
    functions.push(loaded);
  }
  for (const registration of registrations) functions.push(loadRegistration(registration));
  const names = new Set<string>();
  for (const { name } of functions) {
    if (names.has(name)) throw new Error(`two functions have the name "${name}"`);
    names.add(name);
  }
  return functions;
}

function loadExport(name: string, value: unknown, env: WorkersEnvironment): LoadedFunction | null {
  const declared = findDeclaredFunction(value);
  if (declared !== null) return naming(name, () => loadDeclared(name, declared));
  if (isStreaming(value) || (name === "handler" && typeof value === "function")) return loadLambda(name, value);
  return name === "default" ? loadFetchApp(value, env) : null;
}

/** All exports, `default` last. */
function exportsOf(namespace: Readonly<Record<string, unknown>>): Map<string, unknown> {
  const exports = new Map(Object.entries(namespace));
  // Node adds this name to what it imports from CommonJS.
  exports.delete("module.exports");
  const fallback = exports.get("default");
  exports.delete("default");
  if (!isModuleLike(fallback)) {
    if (fallback !== undefined) exports.set("default", fallback);
    return exports;
  }
  const inner = new Map(Object.entries(fallback));
  const innerDefault = inner.get("default");
  inner.delete("default");
  for (const [name, value] of inner) {
    if (!exports.has(name)) exports.set(name, value);
  }
  if (innerDefault !== undefined) exports.set("default", innerDefault);
  return exports;
}

/** The `module.exports` of a CommonJS module, as against an app with a method `fetch`. */
function isModuleLike(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && typeof (value as { fetch?: unknown }).fetch !== "function";
}

function loadDeclared(name: string, declared: DeclaredFunction): LoadedFunction {
  const limits = limitsFrom(declared.options);
  switch (declared.kind) {
    case "http": {
      const handler = declared.handler as (request: Request, context: Context) => unknown;
      return {
        name,
        style: "http",
        triggers: [{ kind: "http", ...parseRoute(declared.route) }],
        limits,
        fetch: handler,
        call: async (input, context) => await valueOfResponse(await handler(requestWithValue(input, context), context)),
      };
    }
    case "fn": {
      declared.bind(name);
      const handler = declared.handler as (input: unknown, context: Context) => unknown;
      return {
        name,
        style: "fn",
        triggers: [],
        limits,
        fetch: async (request, context) => {
          const text = await request.text();
          const output = await handler(text === "" ? null : JSON.parse(text), context);
          return Response.json(output ?? null);
        },
        call: handler,
      };
    }
    case "event": {
      const call = declared.handler as (payload: unknown, context: Context) => unknown;
      return {
        name,
        style: "event",
        triggers: [declared.trigger],
        limits,
        fetch: async (request, context) => Response.json((await call(await request.json(), context)) ?? null),
        call,
      };
    }
  }
}

/** Says which export an error is about. */
function naming<T>(name: string, load: () => T): T {
  try {
    return load();
  } catch (error) {
    throw new Error(`the function "${name}": ${(error as Error).message}`, { cause: error });
  }
}

/**
 * Stack traces in the user's own files. The deployment's source map is only read when a stack is first asked for, so a
 * large bundle's map costs nothing until something throws.
 */
import { existsSync, readFileSync } from "node:fs";
import { SourceMap, type SourceMapPayload } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** From now on `error.stack` of code under `root` names source files. */
export function mapStacks(root: string): void {
  const maps = new Map<string, SourceMap | null>();

  function mapOf(file: string): SourceMap | null {
    const known = maps.get(file);
    if (known !== undefined) return known;
    const map = readMap(`${file}.map`);
    maps.set(file, map);
    return map;
  }

  function lineFor(site: NodeJS.CallSite): string {
    const plain = `    at ${site.toString()}`;
    const script = site.getFileName() ?? null;
    if (script === null) return plain;
    const file = script.startsWith("file:") ? fileURLToPath(script) : script;
    if (!file.startsWith(root)) return plain;
    const relative = file.slice(root.length + 1);
    const map = mapOf(join(root, relative));
    const line = site.getLineNumber();
    const column = site.getColumnNumber();
    if (line === null || column === null) return plain;
    const entry = map?.findEntry(line - 1, column - 1);
    const place =
      entry !== undefined && "originalSource" in entry
        ? `${sourceName(entry.originalSource)}:${entry.originalLine + 1}:${entry.originalColumn + 1}`
        : `${relative}:${line}:${column}`;
    // The site's own text ends in its place; everything before it (async, new, type and method names) is kept.
    const text = site.toString();
    const open = text.lastIndexOf("(");
    return open < 0
      ? `    at ${text.startsWith("async ") ? "async " : ""}${place}`
      : `    at ${text.slice(0, open)}(${place})`;
  }

  Error.prepareStackTrace = (error: Error, sites: NodeJS.CallSite[]): string => {
    const kept = sites.filter((site) => !isRuntimeFile(site.getFileName()));
    return [headline(error), ...kept.map(lineFor)].join("\n");
  };
}

function headline(error: unknown): string {
  try {
    return Error.prototype.toString.call(error);
  } catch {
    return "Error";
  }
}

/** Aloft's own frames say nothing to the reader of a user's stack. */
function isRuntimeFile(file: string | null | undefined): boolean {
  return file === process.argv[1];
}

/** "../../shop/index.ts" or "file:///.../index.ts" -> as short as it stays clear. */
function sourceName(source: string): string {
  return source
    .replace(/^file:\/\//, "")
    .replace(/^(?:\.\.\/)+/, "")
    .replace(/^\.\//, "");
}

function readMap(file: string): SourceMap | null {
  try {
    if (!existsSync(file)) return null;
    return new SourceMap(JSON.parse(readFileSync(file, "utf8")) as SourceMapPayload);
  } catch {
    return null;
  }
}

/**
 * What an app's code is: what `aloft.json` says, else Node where the folder has an entry of Node, else what the folder
 * plainly is. A folder with JavaScript or TypeScript of its own is never taken for anything else.
 */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { AppConfig } from "../contract/app-config.ts";
import type { Runtime } from "../contract/deployment.ts";
import { AloftError } from "../contract/errors.ts";
import { needsNodeEntry, programsOf } from "../contract/programs.ts";
import { codeFiles, findEntry } from "./entry.ts";

export interface Code {
  /** Of functions about which `aloft.json` says nothing else. */
  readonly runtime: Runtime;
  /** The Node module; "" when there is none. */
  readonly entry: string;
}

/** Throws ENTRY_NOT_FOUND, and CONFIG_INVALID when the functions of `aloft.json` cannot be run as they are written. */
export async function findCode(dir: string, config: AppConfig): Promise<Code> {
  const hasPrograms = [...config.functions.values()].some(({ program }) => program !== null);
  const detected = config.entry === null && !hasPrograms ? await detectRuntime(dir) : null;
  const runtime = config.runtime ?? detected ?? "node";
  const programs = programsOf(config, runtime);
  if (!needsNodeEntry(config, runtime)) return { runtime, entry: "" };
  try {
    return { runtime, entry: await findEntry(dir, config) };
  } catch (error) {
    const isOptional = config.entry === null && programs.length > 0;
    if (isOptional && error instanceof AloftError && error.code === "ENTRY_NOT_FOUND") return { runtime, entry: "" };
    throw error;
  }
}

/** The usual names of what a Python app begins with; without one of them, the only file of Python does. */
const pythonEntry = /^(?:app|main|application|lambda_function|index|handler|wsgi|asgi)\.py$/;
const notPythonEntry = /^(?:setup|conftest|noxfile|test_.*|.*_test)\.py$/;

async function detectRuntime(dir: string): Promise<Runtime | null> {
  const names = await readdir(dir);
  if (codeFiles(names).length > 0 || names.includes("package.json") || names.includes("src")) return null;
  const bootstrap = names.includes("bootstrap") ? await stat(join(dir, "bootstrap")) : null;
  if (bootstrap?.isFile() === true && (bootstrap.mode & 0o111) !== 0) return "provided";
  if (names.some((name) => pythonEntry.test(name))) return "python";
  const modules = names.filter((name) => name.endsWith(".py") && !notPythonEntry.test(name));
  return modules.length === 1 ? "python" : null;
}

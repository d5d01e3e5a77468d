/** Deploys folders of programs, made of files of this folder and of what a compiler makes of them. */
import { spawnSync } from "node:child_process";
import { chmod, copyFile, mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { DeployedJson } from "../../src/contract/api.ts";
import { type TestServer, temporaryFolder } from "../kit/server.ts";

type Scope = Parameters<typeof temporaryFolder>[0];

/** A file's content; or a program, executable: one of this folder, or what a command makes of it. */
export type FileSource =
  | string
  | { readonly program: string }
  | { readonly compiled: (target: string) => readonly string[] };

export async function deployProgram(
  server: TestServer,
  scope: Scope,
  app: string,
  files: Readonly<Record<string, FileSource>>,
): Promise<DeployedJson> {
  const dir = join(await temporaryFolder(scope), app);
  for (const [name, source] of Object.entries(files)) {
    const target = join(dir, name);
    await mkdir(dirname(target), { recursive: true });
    if (typeof source === "string") {
      await writeFile(target, source);
      continue;
    }
    if ("program" in source) await copyFile(join(import.meta.dirname, source.program), target);
    else compile(source.compiled(target));
    await chmod(target, 0o755);
  }
  return await server.deploy(dir);
}

export function gcc(file: string): (target: string) => readonly string[] {
  return (target) => ["gcc", "-O1", "-o", target, join(import.meta.dirname, file)];
}

export function rustc(file: string): (target: string) => readonly string[] {
  return (target) => ["rustc", "--edition", "2021", "-C", "debuginfo=0", "-o", target, join(import.meta.dirname, file)];
}

/** false, and a line that says so, where there is no such compiler. */
export function hasCompiler(name: string): boolean {
  const isThere = spawnSync(name, ["--version"]).status === 0;
  if (!isThere) console.log(`skipped: there is no ${name} on this machine`);
  return isThere;
}

function compile([command = "", ...parameters]: readonly string[]): void {
  const { status, stderr, error } = spawnSync(command, parameters, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${command} failed: ${error?.message ?? stderr}`);
}

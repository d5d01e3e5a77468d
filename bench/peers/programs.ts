/** Where the programs and packages of the peers lie. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export function programPath(name: string): string {
  return fileURLToPath(new URL(`programs/${name}`, import.meta.url));
}

export function modulePath(path: string): string {
  return fileURLToPath(new URL(`../node_modules/${path}`, import.meta.url));
}

/** `name version` of an installed package. */
export function packageVersion(name: string): string {
  const { version } = JSON.parse(readFileSync(modulePath(`${name}/package.json`), "utf8")) as { version: string };
  return `${name} ${version}`;
}

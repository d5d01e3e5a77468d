/** An installed npm package with all that it depends on, as another folder's `node_modules` has them. */
import { cp, readFile } from "node:fs/promises";
import { join } from "node:path";

const installed = join(import.meta.dirname, "..", "..", "node_modules");

export async function copyPackage(name: string, folder: string): Promise<void> {
  const wanted = [name];
  const copied = new Set<string>();
  for (let next = wanted.shift(); next !== undefined; next = wanted.shift()) {
    if (copied.has(next)) continue;
    copied.add(next);
    await cp(join(installed, next), join(folder, "node_modules", next), { recursive: true });
    const manifest = await readFile(join(installed, next, "package.json"), "utf8");
    wanted.push(...Object.keys((JSON.parse(manifest) as { dependencies?: object }).dependencies ?? {}));
  }
}

/**
 * The guests. Those of Node become one file each: every zygote reads it, so it is small and CommonJS, which Node loads with
 * fewer steps than an ES module. In a checkout they are built from `guest/` when a server starts; the published package
 * brings them. Python's is a folder of source files, used as it is.
 */
import { createHash, randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { BuildOptions } from "esbuild";

const isCheckout = import.meta.filename.endsWith(".ts");
const houseFolder = join(import.meta.dirname, "..", "..");

/** How the `main.ts` of `guest/node` and `guest/companion` are built, here and for the published package. */
export const guestBuildOptions = {
  bundle: true,
  platform: "node",
  format: "cjs",
  target: "node24",
  charset: "utf8",
  legalComments: "none",
  minifyWhitespace: true,
  minifySyntax: true,
  logLevel: "silent",
} as const satisfies BuildOptions;

/** Absolute paths of the first file of each guest. */
export interface Guests {
  readonly node: string;
  readonly companion: string;
  readonly python: string;
}

/**
 * Built under names made of what they are built from: what was built before is used again, an instance that is starting
 * never sees it change, and two servers may do this at once. Kept in the checkout's own cache, or in `outDir` where that
 * cannot be written.
 */
export async function bundleGuests(outDir: string): Promise<Guests> {
  const python = join(houseFolder, "guest", "python", "main.py");
  if (!isCheckout) {
    return {
      node: join(houseFolder, "guest", "node.cjs"),
      companion: join(houseFolder, "guest", "companion.cjs"),
      python,
    };
  }
  const hash = await hashOfSources();
  const [node, companion] = await Promise.all([
    bundleGuest("node", hash, outDir),
    bundleGuest("companion", hash, outDir),
  ]);
  return { node, companion, python };
}

async function bundleGuest(guest: string, hash: string, outDir: string): Promise<string> {
  const name = `${guest}-${hash}.cjs`;
  for (const folder of [cacheFolder, outDir]) {
    const known = await stat(join(folder, name)).catch(() => null);
    if (known !== null) return join(folder, name);
  }
  const { build } = await import("esbuild");
  const { outputFiles } = await build({
    ...guestBuildOptions,
    absWorkingDir: houseFolder,
    entryPoints: [join(houseFolder, "guest", guest, "main.ts")],
    write: false,
  });
  const contents = outputFiles[0]?.contents ?? new Uint8Array();
  return await writeWhole(cacheFolder, name, contents).catch(() => writeWhole(outDir, name, contents));
}

const cacheFolder = join(houseFolder, "node_modules", ".cache", "aloft");
/** What the guests are made of; nothing else is imported there (`test/layers.test.ts`). */
const sourceFolders = ["guest/node", "guest/companion", "guest/companion/lambda", "sdk", "src/wire"];

async function hashOfSources(): Promise<string> {
  const digest = createHash("sha256").update(JSON.stringify(guestBuildOptions));
  for (const folder of sourceFolders) {
    const names = await readdir(join(houseFolder, folder));
    for (const name of names.filter((one) => one.endsWith(".ts")).toSorted()) {
      digest.update(`${folder}/${name}\n`).update(await readFile(join(houseFolder, folder, name)));
    }
  }
  return digest.digest("hex").slice(0, 16);
}

async function writeWhole(folder: string, name: string, contents: Uint8Array): Promise<string> {
  await mkdir(folder, { recursive: true });
  const file = join(folder, name);
  const temporary = `${file}.${randomUUID()}`;
  // Flushed, so that no loss of power leaves a file of this name without its content.
  await writeFile(temporary, contents, { flush: true });
  await rename(temporary, file);
  return file;
}

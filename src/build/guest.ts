/**
 * The guest runtime as one file. Every zygote reads it, so it is small and CommonJS: Node loads that with fewer steps
 * than an ES module. In a checkout it is built from `guest/` when a server starts; the published package brings it.
 */
import { hash, randomUUID } from "node:crypto";
import { mkdir, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { BuildOptions } from "esbuild";

const isCheckout = import.meta.filename.endsWith(".ts");
const houseFolder = join(import.meta.dirname, "..", "..");

/** How `guest/node/main.ts` is built, here and for the published package. */
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

/**
 * The path of the runtime's file. Built into `outDir` under a name made of its content, so that an instance that is
 * starting never sees it change, and two servers may do this at once.
 */
export async function bundleGuest(outDir: string): Promise<string> {
  if (!isCheckout) return join(houseFolder, "guest", "node.cjs");
  // The synchronous build, because the other one leaves a process of esbuild's beside the server.
  const { buildSync } = await import("esbuild");
  const { outputFiles } = buildSync({
    ...guestBuildOptions,
    absWorkingDir: houseFolder,
    entryPoints: [join(houseFolder, "guest", "node", "main.ts")],
    write: false,
  });
  const contents = outputFiles[0]?.contents ?? new Uint8Array();
  const file = join(outDir, `node-${hash("sha256", contents).slice(0, 16)}.cjs`);
  const known = await stat(file).catch(() => null);
  if (known?.size === contents.length) return file;
  await mkdir(outDir, { recursive: true });
  const temporary = `${file}.${randomUUID()}`;
  await writeFile(temporary, contents);
  await rename(temporary, file);
  return file;
}

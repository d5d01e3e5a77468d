/** Folders of apps for the tests of this room: written to a temporary place, gone when the file's tests are over. */
import { mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after } from "node:test";

/** `{ "index.ts": "...", "data/a.txt": "..." }` -> the folder's path. */
export async function appFolder(files: Readonly<Record<string, string>>, name = "app"): Promise<string> {
  const root = await realpath(await mkdtemp(join(tmpdir(), "aloft-build-")));
  after(() => rm(root, { recursive: true, force: true }));
  const dir = join(root, name);
  await mkdir(dir);
  await addFiles(dir, files);
  return dir;
}

export async function addFiles(dir: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(dir, path)), { recursive: true });
    await writeFile(join(dir, path), text);
  }
}

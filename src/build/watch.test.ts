import assert from "node:assert/strict";
import { rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import type { AloftError } from "../contract/errors.ts";
import { addFiles, appFolder } from "./app-folder.suite.ts";
import { watchApp } from "./watch.ts";
import type { Bundle } from "./watch.ts";

/** What the watch delivers, one after the other. */
class Deliveries {
  readonly #waiting: (Bundle | AloftError)[] = [];
  #arrived = Promise.withResolvers<void>();

  add(result: Bundle | AloftError): void {
    this.#waiting.push(result);
    this.#arrived.resolve();
  }

  get count(): number {
    return this.#waiting.length;
  }

  async next(): Promise<Bundle | AloftError> {
    for (;;) {
      const result = this.#waiting.shift();
      if (result !== undefined) return result;
      this.#arrived = Promise.withResolvers();
      await this.#arrived.promise;
    }
  }

  /** The first build whose code matches; those before it are passed over, as is an error of a half-written file. */
  async code(pattern: RegExp): Promise<Bundle> {
    for (;;) {
      const result = await this.next();
      if (result instanceof Error) continue;
      const module = await result.files.find(({ path }) => path === result.entry)?.read();
      if (pattern.test(Buffer.from(module ?? []).toString())) return result;
    }
  }

  async error(pattern: RegExp): Promise<AloftError> {
    for (;;) {
      const result = await this.next();
      if (result instanceof Error && pattern.test(result.message)) return result;
    }
  }
}

async function watching(t: TestContext, dir: string): Promise<Deliveries> {
  const deliveries = new Deliveries();
  const deliver = (result: Bundle | AloftError): void => deliveries.add(result);
  const watch = await watchApp({ dir, onBuild: deliver, onError: deliver });
  t.after(() => watch.close());
  return deliveries;
}

test("the first build is delivered, and then every change", async (t) => {
  const dir = await appFolder({ "index.ts": `export { a } from "./lib/a.ts";`, "lib/a.ts": `export const a = "one";` });
  const builds = await watching(t, dir);
  assert.equal(builds.count, 1);
  await builds.code(/"one"/);
  await addFiles(dir, { "lib/a.ts": `export const a = "two";` });
  await builds.code(/"two"/);
  // As many editors save: a new file takes the old one's place.
  await writeFile(join(dir, "lib/a.ts.tmp"), `export const a = "three";`);
  await rename(join(dir, "lib/a.ts.tmp"), join(dir, "lib/a.ts"));
  await builds.code(/"three"/);
});

test("an error is delivered in place of a build, and what mends it ends it", async (t) => {
  const dir = await appFolder({ "index.ts": `export const a = ;` });
  const builds = await watching(t, dir);
  await builds.error(/index\.ts:1:18: Unexpected ";"/);
  await addFiles(dir, { "index.ts": `export { b } from "./new/b.ts";` });
  await builds.error(/Could not resolve "\.\/new\/b\.ts"/);
  await addFiles(dir, { "new/b.ts": `export const b = "mended";` });
  await builds.code(/"mended"/);
});

test("a folder that is replaced by another is watched like the first", async (t) => {
  const dir = await appFolder({
    "index.ts": `export { a } from "./lib/deep/a.ts";`,
    "lib/deep/a.ts": `export const a = 1;`,
  });
  const builds = await watching(t, dir);
  for (const value of ["one", "two", "three"]) {
    await rm(join(dir, "lib"), { recursive: true });
    await addFiles(dir, { "lib/deep/a.ts": `export const a = "${value} new";` });
    await builds.code(new RegExp(`"${value} new"`));
    await addFiles(dir, { "lib/deep/a.ts": `export const a = "${value} changed";` });
    await builds.code(new RegExp(`"${value} changed"`));
  }
});

test("aloft.json, the entry and carried files count as well", async (t) => {
  const dir = await appFolder({ "one.ts": `export const a = "one";` });
  const builds = await watching(t, dir);
  await builds.code(/"one"/);
  await addFiles(dir, { "two.ts": `export const a = "two";` });
  await builds.error(/several files of code: one\.ts, two\.ts/);
  await addFiles(dir, { "aloft.json": `{"entry": "two.ts", "name": "other"}` });
  assert.equal((await builds.code(/"two"/)).name, "other");
  await addFiles(dir, { "aloft.json": `{"entry": "two.ts", "nmae": "other"}` });
  await builds.error(/did you mean "name"/);
  await addFiles(dir, { "data/list.bin": "1", "aloft.json": `{"entry": "two.ts", "files": ["data"]}` });
  const hashOf = ({ files }: Bundle): string | undefined => files.find(({ path }) => path === "data/list.bin")?.hash;
  const first = hashOf(await builds.code(/"two"/));
  assert.ok(first);
  await addFiles(dir, { "data/list.bin": "22", "data/more.odd": "" });
  let last = await builds.code(/"two"/);
  while (hashOf(last) === first || !last.files.some(({ path }) => path === "data/more.odd"))
    last = await builds.code(/"two"/);
});

test("a package that is installed while watching is found", async (t) => {
  const dir = await appFolder({ "index.ts": `import { p } from "pkg"; export const a = p;`, "package.json": "{}" });
  const builds = await watching(t, dir);
  await builds.error(/Could not resolve "pkg"/);
  await addFiles(dir, {
    "node_modules/pkg/package.json": `{"main": "i.js"}`,
    "node_modules/pkg/i.js": `exports.p = "installed";`,
    "node_modules/pkg/binding.gyp": "",
    "package.json": `{"dependencies": {"pkg": "1"}}`,
  });
  const bundle = await builds.code(/from "pkg"/);
  assert.ok(bundle.files.some(({ path }) => path === "node_modules/pkg/i.js"));
});

test("a save that changes nothing is not delivered", async (t) => {
  const dir = await appFolder({ "index.ts": `export const a = "one";` });
  const builds = await watching(t, dir);
  await builds.code(/"one"/);
  await addFiles(dir, { "index.ts": `export const a = "one";` });
  await addFiles(dir, { "unrelated.json": "{}" });
  await addFiles(dir, { "index.ts": `export const a = "two";` });
  const next = await builds.next();
  assert.ok(!(next instanceof Error));
  assert.match(Buffer.from((await next.files[0]?.read()) ?? []).toString(), /"two"/);
});

test("one file is watched alone, and a deleted folder is an error", async (t) => {
  const dir = await appFolder({ "hello.ts": `export const a = "one";`, "other.ts": "broken (" });
  const builds = await watching(t, join(dir, "hello.ts"));
  await builds.code(/"one"/);
  await addFiles(dir, { "hello.ts": `export const a = "two";` });
  await builds.code(/"two"/);
  await rm(join(dir, "hello.ts"));
  await builds.error(/is neither a folder nor a file/);
});

test("after close nothing is delivered, and closing again does no harm", async () => {
  const dir = await appFolder({ "index.ts": `export const a = 1;` });
  let calls = 0;
  const watch = await watchApp({ dir, onBuild: () => calls++, onError: () => calls++ });
  await addFiles(dir, { "index.ts": `export const a = 2;` });
  await watch.close();
  await watch.close();
  assert.equal(calls, 1);
});

/**
 * Builds an app again whenever something it is made of changes, for `aloft dev`. The bundler keeps what it has parsed,
 * so a rebuild takes some milliseconds. Whoever listens hears only of what is new to it: another content, or an error.
 */
import { stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { AloftError, asAloftError } from "../contract/errors.ts";
import { programsOf } from "../contract/programs.ts";
import { readAppSource } from "./app-source.ts";
import type { AppSource } from "./app-source.ts";
import { assembleBundle, importRulesOf, noCode } from "./bundle.ts";
import type { Bundle } from "./bundle.ts";
import type { HashCache } from "./bundled-file.ts";
import { openCodeBundler } from "./code-bundler.ts";
import type { CodeBundler } from "./code-bundler.ts";
import { FolderWatcher } from "./folder-watcher.ts";
import type { ImportRules } from "./imports.ts";

export type { Bundle } from "./bundle.ts";

export interface WatchOptions {
  /** The folder of the app, or its only file. */
  readonly dir: string;
  readonly onBuild: (bundle: Bundle) => void;
  readonly onError: (error: AloftError) => void;
  readonly onWarning?: (warning: string) => void;
}

export interface AppWatch {
  /** Nothing is called any more once it resolves. Idempotent. */
  close(): Promise<void>;
}

interface Opened {
  readonly key: string;
  /** null: the app has no Node module. */
  readonly bundler: CodeBundler | null;
  readonly rules: ImportRules;
}

/** Editors write a file in several steps, and a save of many files is many events. */
const quietMs = 15;
/** Where something is written all the time, builds are delivered all the same. */
const pendingMs = 250;

const codeOrConfig = /\.(?:[cm]?[jt]sx?|py|json|jsonc|txt|md|html|sql|csv|css|wasm|bin|node)$/;

/** Package managers write these when they are done. */
const packageFile = /^(?:package\.json|package-lock\.json|pnpm-lock\.yaml|yarn\.lock|bun\.lock)$/;

/** The first build has been made when it resolves, and was delivered unless something has changed meanwhile. */
export async function watchApp(options: WatchOptions): Promise<AppWatch> {
  const watched = new WatchedApp(options);
  await watched.start();
  return watched;
}

class WatchedApp implements AppWatch {
  readonly #options: WatchOptions;
  readonly #watcher: FolderWatcher;
  readonly #hashes: HashCache = new Map();
  /** Names of files that count although their ending does not say so. */
  #known = new Set<string>();
  /** `aloft.json` names further files, by patterns that a new one may match. */
  #takesAll = false;
  /** What is known of installed packages may be old. */
  #mustReopen = false;
  /** What the open bundler was opened for. */
  #opened: Opened | null = null;
  #delivered = "";
  /** Set while there are changes that no build has begun for. */
  #timer: NodeJS.Timeout | null = null;
  #pendingSinceMs = 0;
  #building: Promise<void> | null = null;
  #isStale = false;
  #closed = false;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#watcher = new FolderWatcher((path) => this.#changed(path));
  }

  async start(): Promise<void> {
    // Before the first build: what changes while it runs is not lost.
    const { dir } = this.#options;
    const isFile = (await stat(dir).catch(() => null))?.isFile() === true;
    // A watch of the file itself would end when an editor puts a new one in its place.
    if (isFile) this.#watcher.watchFolder(dirname(dir));
    else await this.#watcher.watchTree(dir);
    this.#build();
    await this.#building;
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#watcher.close();
    await this.#building;
    await this.#opened?.bundler?.close();
    this.#opened = null;
  }

  #changed(path: string): void {
    const isPackageFile = packageFile.test(basename(path));
    if (this.#closed || !(this.#takesAll || codeOrConfig.test(path) || this.#known.has(path) || isPackageFile)) return;
    if (isPackageFile) this.#mustReopen = true;
    if (this.#timer === null) this.#pendingSinceMs = performance.now();
    else clearTimeout(this.#timer);
    const waitMs = this.#isOverdue() ? 0 : quietMs;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#build();
    }, waitMs);
  }

  #isOverdue(): boolean {
    return performance.now() - this.#pendingSinceMs > pendingMs;
  }

  /** One build at a time; a change during one means another after it. */
  #build(): void {
    this.#isStale = true;
    this.#building ??= this.#buildUntilFresh().finally(() => (this.#building = null));
  }

  async #buildUntilFresh(): Promise<void> {
    while (this.#isStale && !this.#closed) {
      this.#isStale = false;
      try {
        this.#deliver(await this.#buildOnce());
      } catch (thrown) {
        // The next save may be the end of an `npm install`.
        this.#mustReopen = true;
        this.#deliver(asAloftError(thrown));
      }
    }
  }

  async #buildOnce(): Promise<Bundle> {
    const source = await readAppSource(this.#options.dir);
    this.#takesAll = source.config.files.length > 0 || hasPrograms(source);
    const { bundler, rules } = await this.#bundlerFor(source);
    const code = bundler === null ? noCode : await bundler.build();
    const bundle = await assembleBundle(source, code, rules, this.#hashes);
    this.#known = new Set([...code.inputs, ...bundle.files.map(({ path }) => `${source.dir}/${path}`)]);
    // Sources outside of the folder, such as a package of the same repository.
    for (const folder of new Set(code.inputs.map((path) => dirname(path)))) {
      if (!folder.includes("node_modules")) this.#watcher.watchFolder(folder);
    }
    return bundle;
  }

  async #bundlerFor(source: AppSource): Promise<Opened> {
    const key = JSON.stringify([source.dir, source.entry, source.config.external]);
    if (this.#opened?.key === key && !this.#mustReopen) return this.#opened;
    this.#mustReopen = false;
    await this.#opened?.bundler?.close();
    this.#opened = null;
    const rules = importRulesOf(source, this.#options.onWarning ?? (() => {}));
    const bundler = source.entry === "" ? null : await openCodeBundler(source.entry, rules);
    this.#opened = { key, rules, bundler };
    return this.#opened;
  }

  #deliver(result: Bundle | AloftError): void {
    if (this.#closed) return;
    // It may have read a file that was emptied and not yet written again; the next build is about to begin.
    if (this.#timer !== null && !this.#isOverdue()) return;
    const mark = markOf(result);
    if (mark === this.#delivered) return;
    this.#delivered = mark;
    if (result instanceof AloftError) this.#options.onError(result);
    else this.#options.onBuild(result);
  }
}

/** Then every file of the folder may be code. */
function hasPrograms({ config, runtime }: AppSource): boolean {
  return programsOf(config, runtime).length > 0;
}

/** Equal for results that tell the listener nothing new. */
function markOf(result: Bundle | AloftError): string {
  if (result instanceof AloftError) return `${result.code} ${result.message}`;
  const { name, entry, configText, files } = result;
  return JSON.stringify([name, entry, configText, files.map(({ path, hash }) => [path, hash])]);
}

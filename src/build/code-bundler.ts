/**
 * An app's code as one ES module and its source map. What comes out of an entry:
 *
 *   an ES module       its exports, unchanged
 *   a CommonJS module  `default` is its `module.exports`, and there is no other export; the guest looks inside
 *
 * The map travels as a file beside the module, with sources relative to it, and is read when a stack is asked for.
 * Names of functions stay as written, for nothing is minified. esbuild's keepNames would only restore those of the few
 * that it renames because two files declare the same, with a call for each function: measured 6% more code and 1.4 ms
 * more of import for an app of 60 kB.
 */
import { dirname, join, posix, relative, sep } from "node:path";
import type { BuildContext, BuildFailure, BuildOptions, Message, OutputFile } from "esbuild";
import { buildFailedOf, formatMessage } from "./build-errors.ts";
import type { BundledFile } from "./bundled-file.ts";
import { fileOfContent } from "./bundled-file.ts";
import type { ImportRules } from "./imports.ts";
import { importsPlugin, sdkFolder } from "./imports.ts";

export interface CodeBundle {
  /** Path of the module in the deployment. */
  readonly entry: string;
  readonly files: readonly BundledFile[];
  /** Absolute paths of everything that was read. */
  readonly inputs: readonly string[];
}

export interface CodeBundler {
  /** Throws BUILD_FAILED. The second time only what changed is read again. */
  build(): Promise<CodeBundle>;
  close(): Promise<void>;
}

/** In front of modules that call `require`; the map is moved by the line this takes. */
const requireLine =
  'import { createRequire as __aloftCreateRequire } from "node:module"; const require = __aloftCreateRequire(import.meta.url);\n';

const options = {
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node24",
  charset: "utf8",
  legalComments: "none",
  sourcemap: "external",
  sourcesContent: true,
  write: false,
  metafile: true,
  logLevel: "silent",
  outExtension: { ".js": ".mjs" },
  // Free names only: a module that declares these itself keeps its own.
  define: { __filename: "import.meta.filename", __dirname: "import.meta.dirname" },
  loader: {
    ".node": "copy",
    ".bin": "binary",
    ".wasm": "binary",
    ".txt": "text",
    ".md": "text",
    ".html": "text",
    ".sql": "text",
    ".csv": "text",
  },
} as const satisfies BuildOptions;

export async function openCodeBundler(entry: string, rules: ImportRules): Promise<CodeBundler> {
  const { context } = await import("esbuild");
  const { dir, onWarning } = rules;
  const opened: BuildContext<typeof options> = await context({
    ...options,
    absWorkingDir: dir,
    entryPoints: [{ in: join(dir, entry), out: "index" }],
    outdir: join(dir, dirname(entry)),
    plugins: [importsPlugin(rules)],
  });

  async function build(): Promise<CodeBundle> {
    rules.carried.clear();
    try {
      const { outputFiles, metafile, warnings } = await opened.rebuild();
      for (const warning of warnings) if (concernsUser(warning)) onWarning(formatMessage(warning));
      const inputs = Object.keys(metafile.inputs).map((path) => join(dir, path));
      return { entry: posix.join(dirname(entry), "index.mjs"), files: filesFrom(outputFiles, dir, entry), inputs };
    } catch (thrown) {
      if (!isBuildFailure(thrown)) throw thrown;
      throw buildFailedOf(thrown.errors);
    }
  }

  return { build, close: async () => await opened.dispose() };
}

function isBuildFailure(thrown: unknown): thrown is BuildFailure {
  return thrown instanceof Error && Array.isArray((thrown as Partial<BuildFailure>).errors);
}

/** What an installed package does badly is not for its user to mend. */
function concernsUser({ location }: Message): boolean {
  return location === null || !location.file.includes("node_modules/");
}

function filesFrom(outputs: readonly OutputFile[], dir: string, entry: string): BundledFile[] {
  const code = outputs.find(({ path }) => path.endsWith("index.mjs"))?.text ?? "";
  const needsRequire = code.includes("var __require = ");
  return outputs.map((output) => {
    const path = relative(dir, output.path).split(sep).join("/");
    if (path.endsWith("index.mjs")) {
      return fileOfContent(path, Buffer.from(`${needsRequire ? requireLine : ""}${withoutPlaceOfSdk(code, dir)}`));
    }
    if (path.endsWith("index.mjs.map"))
      return fileOfContent(path, Buffer.from(finishedMap(output.text, dir, entry, needsRequire)));
    return fileOfContent(path, output.contents);
  });
}

/** Where this platform is installed must not be part of what the content, and so the deployment, is known by. */
function withoutPlaceOfSdk(code: string, dir: string): string {
  return code.replaceAll(`// ${placeOfSdk(dir)}/`, "// aloft/");
}

/** Sources relative to the map's own place; the text only of the developer's own, for the others would be most of it. */
function finishedMap(text: string, dir: string, entry: string, needsRequire: boolean): string {
  const map = JSON.parse(text) as { sources: string[]; sourcesContent: (string | null)[]; mappings: string };
  const folder = dirname(entry);
  const toRoot = relative(join("/", folder), "/");
  const sdk = `${placeOfSdk(dir)}/`;
  const paths = map.sources.map((source) => posix.join(folder, source));
  const isOwn = paths.map((path) => !path.startsWith(sdk) && !path.includes("node_modules/"));
  map.sources = paths.map((path) =>
    posix.join(toRoot, path.startsWith(sdk) ? `aloft/${path.slice(sdk.length)}` : path),
  );
  map.sourcesContent = map.sourcesContent.map((content, index) => (isOwn[index] === true ? content : null));
  if (needsRequire) map.mappings = `;${map.mappings}`;
  return JSON.stringify(map);
}

function placeOfSdk(dir: string): string {
  return relative(dir, sdkFolder).split(sep).join("/");
}

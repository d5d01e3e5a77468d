/** The list of files of a deployment as it comes from outside: what a path, a hash and a size may be. */
import type { DeploymentFile } from "../contract/deployment.ts";
import { AloftError } from "../contract/errors.ts";
import { limits } from "../contract/limits.ts";

const hashPattern = /^[0-9a-f]{64}$/;
const pathBytesMax = 1024; // well below the kernel's 4,096, with room for the folder it is put into
const partBytesMax = 255; // what file systems take for one name

export interface FileLimits {
  /** Of one file. */
  readonly fileBytes: number;
  /** Of all together. */
  readonly bytes: number;
}

export const deploymentFileLimits: FileLimits = { fileBytes: limits.fileBytes, bytes: limits.deploymentBytes };
export const imageFileLimits: FileLimits = { fileBytes: limits.imageLayerBytes, bytes: limits.imageBytes };

/** Throws REQUEST_INVALID or DEPLOYMENT_TOO_LARGE. The result is sorted by path and holds nothing that was not asked for. */
export function parseDeploymentFiles(
  value: unknown,
  allowed: FileLimits = deploymentFileLimits,
): readonly DeploymentFile[] {
  if (!Array.isArray(value)) throw invalid("files must be a list");
  if (value.length === 0) throw invalid("a deployment has at least one file");
  if (value.length > limits.deploymentFiles) {
    throw tooLarge(`${value.length} files are more than the ${limits.deploymentFiles} allowed`);
  }
  const files = value.map((each, index) => parseFile(each, index, allowed.fileBytes));
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  if (bytes > allowed.bytes) {
    throw tooLarge(`the files have ${bytes} bytes, more than the ${allowed.bytes} allowed`);
  }
  files.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
  assertTree(files);
  return files;
}

export function isHash(text: string): boolean {
  return hashPattern.test(text);
}

/** null: the path is fine. */
export function pathProblem(path: string): string | null {
  if (path === "") return "is empty";
  if (Buffer.byteLength(path) > pathBytesMax) return `is longer than ${pathBytesMax} bytes`;
  if (!path.isWellFormed()) return "is not valid Unicode";
  if (path.includes("\0")) return "holds a zero byte";
  if (path.includes("\\")) return "holds a backslash";
  if (path.startsWith("/") || /^[A-Za-z]:/.test(path)) return "is not relative";
  for (const part of path.split("/")) {
    if (part === "") return "has an empty part";
    if (part === "." || part === "..") return `holds "${part}"`;
    if (Buffer.byteLength(part) > partBytesMax) return `has a part longer than ${partBytesMax} bytes`;
  }
  return null;
}

function parseFile(value: unknown, index: number, bytesMax: number): DeploymentFile {
  if (typeof value !== "object" || value === null) throw invalid(`files[${index}] must be an object`);
  const { path, hash, bytes, executable } = value as Record<string, unknown>;
  if (typeof path !== "string") throw invalid(`files[${index}].path must be a string`);
  const problem = pathProblem(path);
  if (problem !== null) throw invalid(`the path ${JSON.stringify(path.slice(0, 200))} ${problem}`);
  if (typeof hash !== "string" || !isHash(hash)) {
    throw invalid(`the hash of ${path} must be 64 lower-case hexadecimal digits`);
  }
  if (typeof bytes !== "number" || !Number.isSafeInteger(bytes) || bytes < 0) {
    throw invalid(`the size of ${path} must be a whole number of bytes`);
  }
  if (bytes > bytesMax) throw tooLarge(`${path} has ${bytes} bytes, more than the ${bytesMax} allowed`);
  if (executable !== undefined && typeof executable !== "boolean") {
    throw invalid(`executable of ${path} must be true or false`);
  }
  return { path, hash, bytes, ...(executable === true ? { executable } : {}) };
}

/** No path twice, no file that another path uses as a folder, one size for one hash. */
function assertTree(files: readonly DeploymentFile[]): void {
  const paths = new Set<string>();
  const sizes = new Map<string, number>();
  for (const { path, hash, bytes } of files) {
    if (paths.has(path)) throw invalid(`the path ${path} is there twice`);
    paths.add(path);
    if ((sizes.get(hash) ?? bytes) !== bytes) throw invalid(`the hash of ${path} is there with two sizes`);
    sizes.set(hash, bytes);
  }
  for (const { path } of files) {
    for (let slash = path.indexOf("/"); slash >= 0; slash = path.indexOf("/", slash + 1)) {
      const folder = path.slice(0, slash);
      if (paths.has(folder)) throw invalid(`${folder} is both a file and a folder`);
    }
  }
}

function invalid(message: string): AloftError {
  return new AloftError("REQUEST_INVALID", message);
}

function tooLarge(message: string): AloftError {
  return new AloftError("DEPLOYMENT_TOO_LARGE", message, {
    hint: "leave out what the code does not need at run time, or read it from elsewhere",
  });
}

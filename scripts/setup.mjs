/**
 * Makes the checkout ready to run: `npm start` and `npm test` run this before their own script.
 *
 * It must run on whatever Node the machine has (16 or newer) and before anything is installed, so it is plain JavaScript
 * without dependencies. It installs when the installed lock is missing or older than package-lock.json, or when the Node
 * that the repository brings along does not answer with the version that package.json pins. Examples that have a lock of
 * their own are held to it in the same way. When there is nothing to do it says nothing.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const pinnedNode = JSON.parse(readFileSync(join(root, "package.json"), "utf8")).devDependencies.node;

function setup() {
  for (const folder of [root, ...examplesWithLock()]) {
    const reason = reasonToInstall(folder);
    if (reason === null) continue;
    const name = relative(root, folder);
    console.log(`aloft: installing dependencies${name === "" ? "" : ` of ${name}`}, because ${reason}`);
    const failure = install(folder);
    if (failure !== null) stop(failure);
    const after = reasonToInstall(folder);
    if (after !== null) stop(`npm reported success, but ${after}; remove ${join(name, "node_modules")} and try again`);
  }
}

function examplesWithLock() {
  const examples = join(root, "examples");
  if (!existsSync(examples)) return [];
  const folders = readdirSync(examples).map((name) => join(examples, name));
  return folders.filter((folder) => existsSync(join(folder, "package-lock.json")));
}

function reasonToInstall(folder) {
  const installedAt = modifiedAt(join(folder, "node_modules", ".package-lock.json"));
  if (installedAt === null) return "nothing is installed yet";
  const lockedAt = modifiedAt(join(folder, "package-lock.json"));
  if (lockedAt !== null && lockedAt > installedAt) return "package-lock.json is newer than what is installed";
  if (folder !== root) return null;
  const answer = spawnSync(join(root, "node_modules", ".bin", "node"), ["--version"], { encoding: "utf8" });
  if (answer.status === 0 && answer.stdout.trim() === `v${pinnedNode}`) return null;
  return `node_modules/.bin/node does not answer as Node ${pinnedNode}`;
}

/** Returns null, or the sentence that says what went wrong. */
function install(folder) {
  const clean = npm(folder, "ci");
  if (clean.status === 0) return null;
  // Only a lock that does not fit is worth a second try; without a registry `npm install` fails the same way, later.
  if (!/EUSAGE/.test(clean.output)) return sentenceFor(clean);
  const repaired = npm(folder, "install");
  return repaired.status === 0 ? null : sentenceFor(repaired);
}

function npm(folder, command) {
  // The npm that runs this script, with its own Node: neither depends on the PATH that npm gave us.
  const viaNpm = (process.env.npm_execpath || "").endsWith("npm-cli.js");
  const program = viaNpm ? process.env.npm_node_execpath || process.execPath : "npm";
  const first = viaNpm ? [process.env.npm_execpath] : [];
  const result = spawnSync(
    program,
    [...first, command, "--include=dev", "--no-audit", "--no-fund", "--loglevel=error"],
    {
      cwd: folder,
      encoding: "utf8",
      maxBuffer: 64 * 1024 * 1024,
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  if (result.error) return { status: 1, output: result.error.message };
  return { status: result.status, output: `${result.stdout}\n${result.stderr}` };
}

function sentenceFor(failed) {
  const output = failed.output;
  if (
    /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT)\b/.test(
      output,
    )
  ) {
    return "the npm registry cannot be reached; check the network or npm's registry setting, then try again";
  }
  if (/\bENOSPC\b/.test(output)) return "the disk is full";
  if (/\b(EACCES|EPERM|EROFS)\b/.test(output)) return "npm may not write to this folder";
  const last = output
    .split("\n")
    .map((line) => line.replace(/^npm (error|ERR!)\s*/, "").trim())
    .filter((line) => line !== "" && !/complete log of this run|debug-\d/.test(line))[0];
  return `npm could not install the dependencies (${last || "no output"}); run \`npm ci\` to see all of it`;
}

function modifiedAt(path) {
  try {
    return statSync(path).mtimeMs;
  } catch {
    return null;
  }
}

function stop(sentence) {
  console.error(`aloft: ${sentence}`);
  process.exit(1);
}

setup();

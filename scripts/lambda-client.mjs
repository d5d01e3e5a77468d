/**
 * Installs AWS's own Lambda client for Node where `test/lambda/aws-client.test.ts` looks for it. Its install compiles libcurl
 * and a native addon (cmake, make and g++, some two minutes), which is too much for every run of the tests.
 */
import { spawnSync } from "node:child_process";
import { existsSync, globSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const version = "4.0.2";
// Not in node_modules, which `npm ci` empties.
const folder = join(import.meta.dirname, "..", ".aloft", "lambda-client");
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, "package.json"), '{ "name": "lambda-client", "private": true }\n');
// The headers of a Node that is there spare a download; the addon uses Node-API alone, so any of them will do.
const house = join(import.meta.dirname, "..");
const places = [
  join(process.execPath, "..", ".."),
  ...globSync("node_modules/node/**/node-linux-*", { cwd: house }).map((place) => join(house, place)),
  "/usr",
];
const nodedir = places.find((place) => existsSync(join(place, "include", "node", "node_api.h")));
const { status } = spawnSync(
  "npm",
  ["install", "--no-audit", "--no-fund", "--foreground-scripts", `aws-lambda-ric@${version}`],
  {
    cwd: folder,
    stdio: "inherit",
    env: { ...process.env, ...(nodedir !== undefined && { npm_config_nodedir: nodedir }) },
  },
);
process.exitCode = status ?? 1;

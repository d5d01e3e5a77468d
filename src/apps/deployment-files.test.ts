import assert from "node:assert/strict";
import { test } from "node:test";
import { limits } from "../contract/limits.ts";
import { parseDeploymentFiles, pathProblem } from "./deployment-files.ts";

const hash = "0".repeat(64);
const file = (path: string, more: object = {}): object => ({ path, hash, bytes: 1, ...more });

test("a path that could leave the deployment's folder, or is no plain path, is refused", () => {
  const table: [string, boolean][] = [
    ["index.js", true],
    ["a/b/c.js", true],
    ["..js", true],
    ["a/...", true],
    ["naïve/文.txt", true],
    ["", false],
    ["/etc/passwd", false],
    ["../x", false],
    ["a/../../x", false],
    ["a/..", false],
    ["./a", false],
    ["a//b", false],
    ["a/", false],
    ["C:/x", false],
    ["a\\..\\b", false],
    ["a\0b", false],
    ["\ud800", false],
    ["x".repeat(256), false],
    [`${"x/".repeat(512)}x`, false],
    [`${"x/".repeat(511)}x`, true],
  ];
  for (const [path, fine] of table) assert.equal(pathProblem(path) === null, fine, path);
});

test("a list of files is refused with the reason", () => {
  const table: [unknown, string, string][] = [
    [null, "REQUEST_INVALID", "files must be a list"],
    [[], "REQUEST_INVALID", "a deployment has at least one file"],
    [[1], "REQUEST_INVALID", "files[0] must be an object"],
    [[file("a"), file("a")], "REQUEST_INVALID", "the path a is there twice"],
    [[file("a/b/c"), file("a/b")], "REQUEST_INVALID", "a/b is both a file and a folder"],
    [[file("a", { hash: "xyz" })], "REQUEST_INVALID", "the hash of a must be 64 lower-case hexadecimal digits"],
    [[file("a", { bytes: -1 })], "REQUEST_INVALID", "the size of a must be a whole number of bytes"],
    [[file("a", { bytes: 1.5 })], "REQUEST_INVALID", "the size of a must be a whole number of bytes"],
    [[file("a"), file("b", { bytes: 2 })], "REQUEST_INVALID", "the hash of b is there with two sizes"],
    [[file("a", { executable: 1 })], "REQUEST_INVALID", "executable of a must be true or false"],
    [
      [file("a", { bytes: limits.fileBytes + 1 })],
      "DEPLOYMENT_TOO_LARGE",
      `a has ${limits.fileBytes + 1} bytes, more than the ${limits.fileBytes} allowed`,
    ],
  ];
  for (const [value, code, message] of table) assert.throws(() => parseDeploymentFiles(value), { code, message });
  const many = Array.from({ length: 5 }, (_, index) =>
    file(`f${index}`, { bytes: limits.fileBytes, hash: String(index).repeat(64) }),
  );
  assert.throws(() => parseDeploymentFiles(many), { code: "DEPLOYMENT_TOO_LARGE" });
});

test("a good list comes back sorted, without what was not asked for", () => {
  assert.deepEqual(parseDeploymentFiles([file("b", { executable: false, more: 1 }), file("a", { executable: true })]), [
    { path: "a", hash, bytes: 1, executable: true },
    { path: "b", hash, bytes: 1 },
  ]);
});

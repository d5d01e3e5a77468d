import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { AloftError } from "../../contract/errors.ts";
import { findImageUser, type ImageUser, listImageOwners } from "./image-user.ts";
import { findInside, readInside } from "./inside-root.ts";

const base = mkdtempSync(join(tmpdir(), "aloft-image-user-"));
after(() => rmSync(base, { recursive: true, force: true }));

const root = join(base, "root");
mkdirSync(join(root, "etc"), { recursive: true });
mkdirSync(join(root, "usr/share"), { recursive: true });
writeFileSync(join(base, "secret"), "of the host");
writeFileSync(
  join(root, "etc/passwd"),
  "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001::/home/web:\n33:x:4000:4000::/:\nbroken\nodd:x:x:1::/:\n",
);
writeFileSync(join(root, "etc/group"), "root:x:0:\nweb:x:1001:\nmedia:x:44:web,other\nlogs:x:45:web\nnames:x:nogid:\n");

suite("the user of an image", () => {
  const cases: readonly (readonly [string, Omit<ImageUser, "home">, string])[] = [
    ["", { uid: 0, gid: 0, groups: [] }, "/root"],
    ["root", { uid: 0, gid: 0, groups: [] }, "/root"],
    ["web", { uid: 1000, gid: 1001, groups: [44, 45] }, "/home/web"],
    ["1000", { uid: 1000, gid: 1001, groups: [44, 45] }, "/home/web"],
    ["web:media", { uid: 1000, gid: 44, groups: [] }, "/home/web"],
    ["web:77", { uid: 1000, gid: 77, groups: [] }, "/home/web"],
    ["web:", { uid: 1000, gid: 1001, groups: [44, 45] }, "/home/web"],
    [":media", { uid: 0, gid: 44, groups: [] }, "/root"],
    ["5555", { uid: 5555, gid: 0, groups: [] }, ""],
    ["33", { uid: 4000, gid: 4000, groups: [] }, "/"],
  ];
  for (const [user, { uid, gid, groups }, home] of cases) {
    test(`"${user}"`, () => assert.deepEqual(findImageUser(user, root), { uid, gid, groups, home }));
  }

  for (const user of ["nobody", "odd", "web:nogroup", "web:names", "4294967295", "-1", "1e3", "../web"]) {
    test(`"${user}" is not there`, () => {
      const isUnknown = (error: unknown): boolean => error instanceof AloftError && error.code === "IMAGE_USER_UNKNOWN";
      assert.throws(() => findImageUser(user, root), isUnknown);
    });
  }

  test("all numbers of its lists are found, those of users that images add first", () => {
    assert.deepEqual(listImageOwners(root), [1000, 1001, 44, 45, 4000, 0]);
    assert.deepEqual(listImageOwners(join(base, "none")), []);
  });

  test("an image without lists of users has root, and numbers", () => {
    const empty = join(base, "empty");
    mkdirSync(empty);
    assert.deepEqual(findImageUser("", empty), { uid: 0, gid: 0, groups: [], home: "" });
    assert.equal(findImageUser("7:8", empty).gid, 8);
  });
});

suite("a file of an image's root is found as inside", () => {
  const link = (path: string, target: string): void => symlinkSync(target, join(root, path));
  link("lib", "usr/share");
  link("abs", "/usr/share");
  link("out", "../../../../../../etc/passwd");
  link("host", base);
  link("loop", "loop");
  link("ping", "pong");
  link("pong", "ping");
  writeFileSync(join(root, "usr/share/x"), "x");
  const cases: readonly (readonly [string, string | null])[] = [
    ["/usr/share/x", "x"],
    ["lib/x", "x"],
    ["abs/x", "x"],
    ["/lib/../share/x", "x"],
    ["/../../usr/share/x", "x"],
    ["/usr/share/x/y", null],
    ["host/secret", null],
    ["/loop", null],
    ["ping/x", null],
    ["usr", null],
    ["nothing/x", null],
  ];
  for (const [path, content] of cases) test(path, () => assert.equal(readInside(root, path, 100), content));

  test("a link that goes up ends at the root, and what is too large is not read", () => {
    assert.equal(findInside(root, "out"), join(root, "etc/passwd"));
    assert.throws(() => readInside(root, "out", 10), RangeError);
  });
});

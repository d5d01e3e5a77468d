/**
 * Programs of an image that run as its root, which is the only one with capabilities (decisions/0015), and as another user: what
 * any code tries by system calls, and what only a root would. The process driver refuses images.
 */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { bundleImage } from "../../src/build/images/image-bundle.ts";
import { layoutFiles, makeImage, tarOfFiles } from "../../src/build/images/image-writer.fixture.ts";
import { deployBundle } from "../../src/cli/deploying.ts";
import { file, folder, symlink, writeTar } from "../../src/lib/tar/tar-writer.fixture.ts";
import { ociMissing } from "../../src/sandbox/open-for-test.fixture.ts";
import { sharedLibrariesOf } from "../../src/sandbox/oci/shared-libraries.ts";
import { lastFirst } from "../kit/scope.ts";
import { startTestServer, type TestServer } from "../kit/server.ts";
import { imageProbes } from "./image-probes.ts";
import { systemCallProbes } from "./probes.ts";

const busybox = "/usr/bin/busybox";
const hasBusybox = existsSync(busybox) && sharedLibrariesOf(busybox).length === 0;
const hasCompiler = spawnSync("gcc", ["--version"]).status === 0;
const missing =
  (await ociMissing()) ??
  (hasBusybox ? null : `there is no static ${busybox} (busybox-static)`) ??
  (hasCompiler ? null : "there is no gcc");
if (missing !== null) console.log(`skipped: ${missing}`);

/** Answers `/cgi-bin/try?NAME` with what the kernel said. */
const script = `#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n'
[ "$QUERY_STRING" = id ] && exec id -u
exec /bin/system-calls "$QUERY_STRING"
`;

suite("escapes from an image", { skip: missing ?? false }, () => {
  const scope = lastFirst({ after });
  const work = mkdtempSync(join(tmpdir(), "aloft-image-escape-"));
  let server: TestServer;

  before(async () => {
    scope.after(async () => rmSync(work, { recursive: true }));
    server = await startTestServer(scope, { mode: "serve", settings: { sandbox: "oci", sandboxNetwork: "none" } });
    const program = join(work, "system-calls");
    execFileSync("gcc", ["-static", "-O1", "-o", program, join(import.meta.dirname, "system-calls.c")]);
    const layer = writeTar([
      folder("bin"),
      file("bin/busybox", readFileSync(busybox), { mode: 0o755 }),
      ...["sh", "httpd", "id"].map((name) => symlink(`bin/${name}`, "busybox")),
      file("bin/system-calls", readFileSync(program), { mode: 0o755 }),
      file("etc/passwd", "root:x:0:0::/:/bin/sh\nweb:x:1000:1000::/:/bin/sh\n"),
      // More owners than an instance tells apart: the last one's files are nobody's.
      ...Array.from({ length: 64 }, (_, at) => file(`opt/${at}`, "x", { uid: 2000 + at, gid: 2000 + at })),
      file("opt/hidden", "hidden", { mode: 0o600, uid: 9000, gid: 9000 }),
      file("srv/cgi-bin/try", script, { mode: 0o755 }),
    ]);
    for (const user of ["root", "web"]) {
      const config = {
        Entrypoint: ["/bin/sh", "-c", "exec httpd -f -p $PORT -h /srv"],
        Env: ["PATH=/bin"],
        User: user,
      };
      const path = join(work, `${user}.tar`);
      writeFileSync(path, tarOfFiles(layoutFiles(makeImage({ layers: [layer], config, reference: `${user}:1` }))));
      const bundle = await bundleImage({ image: path, dir: null, architecture: process.arch });
      await deployBundle(server.client, bundle, "production");
    }
  });

  async function ask(app: string, name: string): Promise<string> {
    const response = await server.fetch(app, `/cgi-bin/try?${name}`);
    assert.equal(response.status, 200);
    return (await response.text()).trim();
  }

  test("one is root inside, the other is not", async () => {
    assert.deepEqual([await ask("root", "id"), await ask("web", "id")], ["0", "1000"]);
  });

  for (const app of ["root", "web"]) {
    for (const { name, about } of [...systemCallProbes, ...imageProbes]) {
      // Root is root already, and it may leave such a file as long as nobody heeds it.
      if (app === "root" && name === "setuid") continue;
      test(`${app} of an image cannot ${about}`, async () => {
        assert.match(await ask(app, name), /^refused E[A-Z]+$/);
      });
    }
  }
});

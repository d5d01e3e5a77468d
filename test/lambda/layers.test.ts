/** Layers, as AWS Lambda has them: what they hold is in /opt, with the variables that lead there. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { after, suite, test } from "node:test";
import { ociMissing } from "../../src/sandbox/open-for-test.fixture.ts";
import { writeZip } from "../../src/lib/zip/zip-writer.fixture.ts";
import { pythonMissing } from "../kit/python.ts";
import { startTestServer, temporaryFolder, type TestServer } from "../kit/server.ts";
import { until } from "../kit/until.ts";

const scope = { after };
const noOci = await ociMissing();
if (noOci !== null) console.log(`skipped: ${noOci}`);

const program = (name: string): string => readFileSync(join(import.meta.dirname, name), "utf8");

for (const sandbox of ["process", "oci"] as const) {
  const isSkipped = sandbox === "oci" && noOci !== null;
  const settings = { sandbox, sandboxNetwork: "none" } as const;
  const server = isSkipped ? null : await startTestServer(scope, { mode: "serve", settings });
  suite(`layers in the ${sandbox} sandbox`, { skip: isSkipped }, () => {
    if (server !== null) testsOn(server, sandbox);
  });
}

function testsOn(server: TestServer, sandbox: "process" | "oci"): void {
  /** Files with a `#!` are executable. */
  async function deploy(app: string, files: Readonly<Record<string, string | Buffer>>): Promise<void> {
    const dir = join(await temporaryFolder(scope), app);
    for (const [name, content] of Object.entries(files)) {
      await mkdir(dirname(join(dir, name)), { recursive: true });
      await writeFile(join(dir, name), content);
      if (String(content).startsWith("#!")) await chmod(join(dir, name), 0o755);
    }
    await server.deploy(dir);
  }
  const invoke = async (app: string, payload: unknown = {}): Promise<unknown> => {
    const json = Buffer.from(JSON.stringify(payload));
    return JSON.parse((await server.client.invoke(app, "default", "production", json)).body.toString()) as unknown;
  };
  // A container's own /opt; else they are where they lie.
  const opt = sandbox === "oci" ? /^\/opt$/ : /\/\.opt$/;

  test("a runtime, its extension and its tools come from layers, later ones above earlier ones", async () => {
    const pid = '\\"pid\\":$$';
    const withTool = program("bootstrap.sh").replace(pid, () => `\\"tool\\":\\"$(tool)\\",${pid}`);
    const base = writeZip([
      {
        path: "bootstrap",
        content: withTool,
        mode: 0o100755,
      },
      { path: "bin/tool", content: "#!/bin/sh\necho of the base\n", mode: 0o100755 },
      { path: "extensions/watch.sh", content: program("watch.sh"), mode: 0o100755 },
    ]);
    await deploy(`layered-${sandbox}`, {
      "layers/base.zip": base,
      "layers/above/bin/tool": "#!/bin/sh\necho $LD_LIBRARY_PATH\n",
      "aloft.json": JSON.stringify({ runtime: "provided", layers: ["layers/base.zip", "layers/above"] }),
    });
    const { event, tool } = (await invoke(`layered-${sandbox}`, { a: 1 })) as { event: unknown; tool: string };
    assert.deepEqual(event, { a: 1 });
    const [root, lib, ofLayers] = tool.split(":");
    assert.equal(lib, `${root}/lib`);
    assert.match(dirname(ofLayers ?? ""), opt);
    await until("the extension of the layer", async () =>
      (await server.client.listLogs(`layered-${sandbox}`, {})).some(({ message }) =>
        message.startsWith('[watch.sh] saw {"eventType":"INVOKE"'),
      ),
    );
  });

  test("Python finds modules of layers behind its own", { skip: pythonMissing() ?? false }, async () => {
    await deploy(`snake-${sandbox}`, {
      "layer/python/of_layer.py": "name = __file__\n",
      "layer/python/both.py": "where = 'layer'\n",
      "both.py": "where = 'folder'\n",
      "app.py":
        "import both, of_layer, shutil\ndef handler(event, context): return [of_layer.name, both.where, shutil.which('tool')]\n",
      "layer/bin/tool": "#!/bin/sh\n",
      "aloft.json": `{ "runtime": "python", "layers": ["layer"], "functions": { "default": { "handler": "app.handler" } } }`,
    });
    const [name, where, tool] = (await invoke(`snake-${sandbox}`)) as [string, string, string];
    assert.equal(where, "folder");
    assert.match(dirname(dirname(name)), opt);
    assert.match(dirname(dirname(tool)), opt);
  });

  test("a Node program finds packages of layers", async () => {
    await deploy(`packages-${sandbox}`, {
      "layer/nodejs/node_modules/of-layer/index.js": "module.exports = __filename;",
      "server.cjs": `require("node:http").createServer((_, response) => response.end(require("of-layer"))).listen(process.env.PORT);`,
      "aloft.json": `{ "command": ["node", "server.cjs"], "layers": ["layer"] }`,
    });
    const text = await (await server.fetch(`packages-${sandbox}`, "/")).text();
    assert.match(text, /\.opt\/nodejs\/node_modules\/of-layer\/index\.js$/);
  });

  test("without layers /opt is not there, and a bootstrap is looked for nowhere else", async () => {
    await deploy(`plain-${sandbox}`, {
      bootstrap: program("bootstrap.sh"),
      "aloft.json": `{ "runtime": "provided" }`,
    });
    assert.partialDeepStrictEqual(await invoke(`plain-${sandbox}`, { a: 1 }), { event: { a: 1 } });
    await assert.rejects(deploy(`none-${sandbox}`, { "aloft.json": `{ "runtime": "provided" }`, x: "x" }), {
      code: "DESCRIBE_FAILED",
    });
  });
}

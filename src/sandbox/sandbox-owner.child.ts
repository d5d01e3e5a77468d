/** Opens a driver, starts one program, says so, and waits to be killed: (kind, folder, a word for the command line). */
import { once } from "node:events";
import type { SandboxKind } from "./sandbox.suite.ts";
import { openForTest } from "./open-for-test.fixture.ts";

const [kind = "process", folder = "", mark = ""] = process.argv.slice(2);
const sandbox = await openForTest(kind as SandboxKind, folder);
const code = `require("node:fs").writeSync(3, "up"); setInterval(() => {}, 1000)`;
const started = sandbox.start({
  id: "left",
  argv: [process.execPath, "-e", code, mark],
  files: [process.execPath],
  env: {},
  memoryMiB: 128,
  network: false,
});
await once(started.socket, "data");
process.stdout.write("up\n");

import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { freePort, untilReady } from "./listening.ts";
import { runProgram } from "./program.ts";

const never = new Promise<never>(() => {});

test("a program that never listens is told so, with where it should have", async () => {
  const running = runProgram({
    argv: [process.execPath, "-e", "setInterval(() => {}, 1000)"],
    cwd: "/",
    env: {},
    printed: () => {},
  });
  const port = await freePort();
  const addresses = [{ host: "127.0.0.1", port }, { socketPath: "/no/such/socket" }];
  await assert.rejects(untilReady({ addresses, path: null, withinMs: 100, ended: running.ended }), {
    message: `the program listened neither on port ${port} (PORT) nor on /no/such/socket (ALOFT_SOCKET) for 0.1 s`,
  });
  await running.stop(5000);
  assert.equal(running.end?.how, "was ended by SIGTERM");
});

test("a path decides when it is asked for, whatever the program answers first", async (t) => {
  let asked = 0;
  const server = createServer((_request, response) => {
    asked += 1;
    response.writeHead(asked < 3 ? 503 : 204).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const address = { host: "127.0.0.1", port: (server.address() as AddressInfo).port };
  const options = { addresses: [address], path: "/ready", ended: never };
  assert.deepEqual(await untilReady({ ...options, withinMs: 10_000 }), address);
  assert.equal(asked, 3);
  asked = Number.NEGATIVE_INFINITY;
  await assert.rejects(untilReady({ ...options, withinMs: 50 }), {
    message: "the program answered /ready with the status 503 for 0.05 s",
  });
});

test("a program that cannot be started, or ends, says why in its own words", async () => {
  const table: [argv: string[], message: RegExp][] = [
    [["/no/such/program"], /cannot be started: there is no \/no\/such\/program/],
    [["/etc/passwd"], /cannot be started: \/etc\/passwd is not executable/],
    [
      [process.execPath, "-e", "console.error('a\\nb'); process.exit(9)"],
      /ended with exit code 9 before it was ready\na\nb$/,
    ],
  ];
  for (const [argv, message] of table) {
    const running = runProgram({ argv, cwd: "/", env: {}, printed: () => {} });
    await assert.rejects(untilReady({ addresses: [], path: null, withinMs: 60_000, ended: running.ended }), {
      message,
    });
  }
});

test("a program that does not heed SIGTERM is killed after its grace", async () => {
  const lines: string[] = [];
  const said = Promise.withResolvers<void>();
  const running = runProgram({
    argv: [process.execPath, "-e", "process.on('SIGTERM', () => {}); console.log('here'); setInterval(() => {}, 1000)"],
    cwd: "/",
    env: {},
    printed: (_descriptor, line) => {
      lines.push(line);
      said.resolve();
    },
  });
  await said.promise;
  await running.stop(20);
  assert.equal(running.end?.how, "was ended by SIGKILL");
  assert.deepEqual(lines, ["here"]);
});

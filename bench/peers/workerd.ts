/**
 * workerd, Cloudflare's runtime, twice: as a server of one fixed worker, and with its dynamic worker loader, which is
 * what a platform of many apps on it would use: a router worker finds the app by host name and the loader loads it once.
 */
import type { Contestant, Running } from "../lib/contestant.ts";
import { freePort, startServer } from "../lib/server-process.ts";
import { modulePath, packageVersion, programPath } from "./programs.ts";

export const workerd: Contestant = {
  name: "workerd",
  version: () => packageVersion("workerd"),
  start: () => startWorkerd("workerd.capnp", []),
};

export const workerdLoader: Contestant = {
  name: "workerd loader",
  version: () => `${packageVersion("workerd")} --experimental`,
  start: () => startWorkerd("workerd-loader.capnp", ["--experimental"]),
};

async function startWorkerd(config: string, flags: readonly string[]): Promise<Running> {
  const port = await freePort();
  const server = await startServer({
    argv: [binaryPath(), "serve", ...flags, "--socket-addr", `http=127.0.0.1:${port}`, programPath(config), "config"],
    port,
  });
  return {
    url: `http://127.0.0.1:${port}`,
    processes: () => [{ role: "server", pid: server.pid }],
    stop: () => server.stop(),
  };
}

/** The binary itself: the package's own launcher is a Node process in front of it. */
function binaryPath(): string {
  return modulePath(
    `@cloudflare/workerd-${process.platform}-${process.arch === "x64" ? "64" : process.arch}/bin/workerd`,
  );
}

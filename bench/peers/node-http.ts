/** Bare `node:http`: the measure of all others, for nothing written in Node can be faster by much. */
import type { Contestant, Running } from "../lib/contestant.ts";
import { freePort, startServer } from "../lib/server-process.ts";
import { programPath } from "./programs.ts";

export const nodeHttp: Contestant = {
  name: "node:http",
  version: () => `node ${process.version}`,
  async start(): Promise<Running> {
    const port = await freePort();
    const server = await startServer({
      argv: [process.execPath, programPath("node-http.js")],
      env: { PORT: String(port) },
      port,
    });
    return {
      url: `http://127.0.0.1:${port}`,
      processes: () => [{ role: "server", pid: server.pid }],
      stop: () => server.stop(),
    };
  },
};

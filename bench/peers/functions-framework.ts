/** Google's Functions Framework: one process for one function, Express inside. */
import type { Contestant, Running } from "../lib/contestant.ts";
import { freePort, startServer } from "../lib/server-process.ts";
import { modulePath, packageVersion, programPath } from "./programs.ts";

export const functionsFramework: Contestant = {
  name: "functions-framework",
  version: () => packageVersion("@google-cloud/functions-framework"),
  async start(): Promise<Running> {
    const port = await freePort();
    const server = await startServer({
      argv: [
        process.execPath,
        modulePath("@google-cloud/functions-framework/build/src/main.js"),
        `--source=${programPath("functions-framework")}`,
        "--target=hello",
        `--port=${port}`,
      ],
      port,
    });
    return {
      url: `http://127.0.0.1:${port}`,
      processes: () => [{ role: "server", pid: server.pid }],
      stop: () => server.stop(),
    };
  },
};

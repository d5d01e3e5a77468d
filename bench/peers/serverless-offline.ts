/**
 * The Serverless Framework's local emulator. Version 3 of the framework, the last that runs without an account; its
 * handlers run in worker threads of the one process. It reaches nothing outside: telemetry and notices are off.
 */
import type { Contestant, Running } from "../lib/contestant.ts";
import { freePort, startServer } from "../lib/server-process.ts";
import { treeOf } from "../lib/processes.ts";
import { modulePath, packageVersion, programPath } from "./programs.ts";

export const serverlessOffline: Contestant = {
  name: "serverless-offline",
  version: () => `${packageVersion("serverless-offline")}, ${packageVersion("serverless")}`,
  async start(): Promise<Running> {
    const port = await freePort();
    const lambdaPort = await freePort();
    const server = await startServer({
      argv: [
        process.execPath,
        modulePath("serverless/bin/serverless.js"),
        "offline",
        "start",
        "--noPrependStageInUrl",
        "--host=127.0.0.1",
        `--httpPort=${port}`,
        `--lambdaPort=${lambdaPort}`,
      ],
      cwd: programPath("serverless-offline"),
      env: { SLS_TELEMETRY_DISABLED: "1", SLS_TRACKING_DISABLED: "1", SLS_NOTIFICATIONS_MODE: "off" },
      port,
    });
    return {
      url: `http://127.0.0.1:${port}`,
      processes: () => treeOf(server.pid).map((pid) => ({ role: "server", pid })),
      stop: () => server.stop(),
    };
  },
};

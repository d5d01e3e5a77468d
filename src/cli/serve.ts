/** `aloft serve` */
import type { Settings } from "../config.ts";
import type { Context } from "./command.ts";
import { settingsOf } from "./setting-flags.ts";
import { aborted, listenForStop } from "./stopping.ts";
import type { Terminal } from "./terminal.ts";

export async function run({ flags, json, terminal, folder }: Context): Promise<number> {
  const settings = await settingsOf(flags, folder);
  const stopping = listenForStop();
  try {
    if (!isLoopback(settings.host)) warnOfHost(settings, terminal);
    const { startServer } = await import("../server.ts");
    const server = await startServer(settings, { mode: "serve" });
    try {
      const { http, admin, madeToken } = server;
      const { dataDir } = settings;
      if (json) {
        const token = madeToken === null ? {} : { token: madeToken };
        terminal.printJson({ ready: true, http, admin, dataDir, pid: process.pid, ...token }, "compact");
      } else {
        if (madeToken !== null) terminal.print(`token ${madeToken}  (shown this once; the server keeps only its hash)`);
        terminal.print(`${terminal.paint("green", "ready")} ${http}  control API ${admin}  data ${dataDir}`);
      }
      await aborted(stopping.signal);
      terminal.note("stopping: finishing what is in flight; Ctrl-C again ends at once");
    } finally {
      await server.close();
    }
    return 0;
  } finally {
    stopping.close();
  }
}

function warnOfHost({ host }: Settings, terminal: Terminal): void {
  const warning = terminal.paintNote("yellow", "warning");
  terminal.note(`${warning} --host ${host} is not loopback: other machines reach the functions and the control API.`);
  terminal.note(
    "        The control API wants its token but speaks plain HTTP; put a TLS proxy or a private network before it.",
  );
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}

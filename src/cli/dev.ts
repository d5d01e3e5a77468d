/** `aloft dev`: a server in this process, its data in `.aloft/dev` of the folder, fed with every build. */
import { randomBytes } from "node:crypto";
import { join, resolve } from "node:path";
import { startServer } from "../server.ts";
import { ControlClient } from "./client.ts";
import type { Context } from "./command.ts";
import { DevApps } from "./dev-apps.ts";
import { DevScreen } from "./dev-screen.ts";
import { readDevTarget } from "./dev-target.ts";
import { removeLocalServer, writeLocalServer } from "./local-server.ts";
import { settingsOf } from "./setting-flags.ts";
import { aborted, listenForStop } from "./stopping.ts";
import { tryLines } from "./try-lines.ts";

/** How often new app folders are looked for. */
const lookAroundMs = 500;

export async function run({ words, flags, json, terminal, folder }: Context): Promise<number> {
  const target = await readDevTarget(resolve(folder, words[0] ?? "."));
  const settings = await settingsOf(flags, folder, {
    dataDir: join(target.folder, ".aloft", "dev"),
    host: "127.0.0.1",
    baseDomain: "localhost",
  });
  // Good for this run alone; left to the commands given in this folder, see local-server.ts.
  const token = randomBytes(24).toString("base64url");
  const screen = new DevScreen(terminal, json);
  const stopping = listenForStop();
  const closers: (() => Promise<void> | void)[] = [() => stopping.close(), () => screen.close()];
  try {
    const server = await startServer(
      { ...settings, adminToken: token },
      {
        mode: "dev",
        onRequest: (record) => screen.addRecord(record),
        onLog: (line) => screen.addLog(line),
        onWarning: (message) => screen.warn(message),
      },
    );
    closers.push(() => server.close());
    // Where it serves, and where it was started: commands are typed in either.
    for (const place of new Set([target.folder, folder])) {
      writeLocalServer(place, { admin: server.admin, token, pid: process.pid });
      closers.push(() => removeLocalServer(place));
    }
    const client = new ControlClient({ server: server.admin, token });
    closers.push(() => client.close());

    const apps = new DevApps({ target, client, eventsFor: (label) => screen.eventsFor(label) });
    closers.push(() => apps.close());
    await Promise.race([apps.start(), aborted(stopping.signal)]);
    if (!stopping.signal.aborted) {
      const lines = await tryLines(target.folder, server.http, folder, client);
      screen.ready({ http: server.http, admin: server.admin }, lines);
      await lookAround(apps, screen, stopping.signal);
    }
    if (!json) terminal.note("stopping; Ctrl-C again ends at once");
  } finally {
    for (const close of closers.toReversed()) await close();
  }
  return 0;
}

/** Until the signal aborts. */
async function lookAround(apps: DevApps, screen: DevScreen, signal: AbortSignal): Promise<void> {
  const stopped = aborted(signal);
  while (!signal.aborted) {
    const pause = Promise.withResolvers<void>();
    const timer = setTimeout(pause.resolve, lookAroundMs);
    await Promise.race([pause.promise, stopped]);
    clearTimeout(timer);
    if (signal.aborted) return;
    // Raced: a new app that takes long to go live must not hold up the end.
    const looked = apps.tick().catch((error: unknown) => {
      if (!signal.aborted) screen.warn(String(error));
    });
    await Promise.race([looked, stopped]);
  }
}

/** Aloft from this checkout: default settings, records and logs on, one door process, the app deployed by its command. */
import { AppFolders, deploy, jobSource } from "../aloft/apps.ts";
import { AloftServer } from "../aloft/server.ts";
import type { Contestant, Running } from "../lib/contestant.ts";

const app = "hello";

export const aloft: Contestant = {
  name: "aloft",
  version: () => `aloft of this checkout, node ${process.version}`,
  async start(): Promise<Running> {
    const folders = await AppFolders.create();
    const server = await AloftServer.start();
    try {
      await deploy(server, await folders.write(app, await jobSource()));
    } catch (error) {
      await server.stop();
      throw error;
    } finally {
      await folders.remove();
    }
    return {
      url: server.url,
      host: `${app}.localhost`,
      processes: () => server.processes(),
      account: () => server.account(),
      stop: () => server.stop(),
    };
  },
};

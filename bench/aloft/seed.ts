/** Stands in until the apps service can be opened here. */
import type { App } from "./apps.ts";
import { AloftServer } from "./server.ts";
import { deployAll } from "./apps.ts";

export async function seedApps(dataFolder: string, apps: readonly App[]): Promise<void> {
  const server = await AloftServer.start({ dataFolder });
  try {
    await deployAll(server, apps);
  } finally {
    await server.stop();
  }
}

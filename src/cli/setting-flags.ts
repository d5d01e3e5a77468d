/** Settings of the server that `serve` and `dev` start, from their flags. */
import { loadSettings, settingNames, settingsTable } from "../config.ts";
import type { SettingName, Settings } from "../config.ts";
import type { Flags } from "./arguments.ts";

/** `decided`: what the command decides itself, over everything else. */
export function settingsOf(
  flags: Flags,
  folder: string,
  decided: Readonly<Partial<Record<SettingName, string>>> = {},
): Promise<Settings> {
  const given = settingNames.flatMap((name) => {
    const { flag } = settingsTable[name];
    const value = flag === null ? undefined : flags.text(flag);
    return value === undefined ? [] : [[name, value] as const];
  });
  return loadSettings({
    flags: { ...Object.fromEntries(given), ...decided },
    configFile: flags.text("config"),
    folder,
  });
}

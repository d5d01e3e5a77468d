/**
 * Settings of a server and of the command line; the only file that reads `process.env`.
 *
 * A setting comes from, the later over the earlier: its default, the settings file, the environment, a flag. All are
 * rows of `settingsTable`, from which parsing, `--help` and docs/settings.md are made. The settings file is JSON with
 * comments: the file named by `--config`, else `aloft.config.json` in the data folder when there is one.
 */
import { readFile } from "node:fs/promises";
import { homedir, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { AloftError } from "./contract/errors.ts";
import { limits } from "./contract/limits.ts";
import { isAppName } from "./contract/names.ts";
import { formatDuration } from "./lib/durations.ts";
import { nearestWord } from "./lib/edit-distance.ts";
import type { AddressRange } from "./lib/ipv4.ts";
import {
  addressAndPort,
  addressRange,
  duration,
  hostName,
  idRange,
  lowerCaseDomain,
  memory,
  oneOf,
  path,
  size,
  truth,
  wholeNumber,
} from "./lib/value-kinds.ts";
import type { Surroundings, ValueKind } from "./lib/value-kinds.ts";

export interface Settings {
  readonly dataDir: string;
  readonly host: string;
  readonly port: number;
  readonly adminPort: number;
  readonly sandbox: "auto" | "oci" | "process";
  readonly sandboxNetwork: "internet" | "none";
  readonly sandboxSubnet: AddressRange;
  readonly sandboxResolver: { readonly address: string; readonly port: number } | null;
  readonly sandboxIds: { readonly first: number; readonly count: number };
  readonly python: string | null;
  readonly baseDomain: string;
  readonly defaultApp: string | null;
  readonly adminToken: string | null;
  readonly maxBodyBytes: number;
  readonly waitForInstanceMs: number;
  readonly memoryBudgetBytes: number;
  readonly zygotes: number;
  readonly zygotesMax: number;
  readonly recordRetentionMs: number;
  readonly logRetentionMs: number;
  readonly trustProxy: boolean;
  readonly logFormat: "text" | "json";
}

export type SettingName = keyof Settings;

export interface Setting<T> {
  readonly kind: ValueKind<T>;
  /** As it would be written; "" when it is absent unless set. */
  readonly standard: string;
  /** Without the two hyphens; null where a flag would show a secret in the list of processes. */
  readonly flag: string | null;
  readonly env: string;
  readonly about: string;
}

type SettingsTable = { readonly [Name in SettingName]: Setting<Settings[Name]> };

const minute = 60_000;
const day = 24 * 60 * minute;

export const settingsTable: SettingsTable = {
  dataDir: {
    kind: path("a folder", "DIR"),
    standard: "~/.local/share/aloft",
    flag: "data",
    env: "ALOFT_DATA_DIR",
    about: "Folder that holds everything the server keeps: deployments, variables, records and logs.",
  },
  host: {
    kind: hostName,
    standard: "127.0.0.1",
    flag: "host",
    env: "ALOFT_HOST",
    about: "Address both ports listen on. Anything but loopback lets other machines in.",
  },
  port: {
    kind: wholeNumber(0, 65_535, "PORT"),
    standard: "8787",
    flag: "port",
    env: "ALOFT_PORT",
    about: "Port on which functions answer; 0 takes a free one.",
  },
  adminPort: {
    kind: wholeNumber(0, 65_535, "PORT"),
    standard: "8788",
    flag: "admin-port",
    env: "ALOFT_ADMIN_PORT",
    about: "Port of the control API; 0 takes a free one.",
  },
  sandbox: {
    kind: oneOf(["auto", "oci", "process"]),
    standard: "auto",
    flag: "sandbox",
    env: "ALOFT_SANDBOX",
    about:
      "Wall around functions: `oci` uses a container runtime, `process` has none. `auto`: `oci` for `serve` where it works, else `process` (docs/sandbox.md).",
  },
  sandboxNetwork: {
    kind: oneOf(["internet", "none"]),
    standard: "internet",
    flag: "sandbox-network",
    env: "ALOFT_SANDBOX_NETWORK",
    about: "What functions in the `oci` sandbox reach at the most; `network` of `aloft.json` says what each app's do.",
  },
  sandboxSubnet: {
    kind: addressRange(16),
    // RFC 2544 keeps it for measurements inside a network, so nobody's hosts are in it.
    standard: "198.18.0.0/16",
    flag: "sandbox-subnet",
    env: "ALOFT_SANDBOX_SUBNET",
    about: "Addresses of `oci` instances on this host. Nobody else may use them.",
  },
  sandboxResolver: {
    kind: addressAndPort(53),
    standard: "",
    flag: "sandbox-resolver",
    env: "ALOFT_SANDBOX_RESOLVER",
    about: "Resolver that names are asked of for `oci` instances. Without it, those of `/etc/resolv.conf`.",
  },
  sandboxIds: {
    kind: idRange,
    // The numbers from here on have no use by the conventions of systemd.io/UIDS-GIDS.
    standard: "1879048192:65536",
    flag: "sandbox-ids",
    env: "ALOFT_SANDBOX_IDS",
    about: "User and group numbers of this host that `oci` instances have, two each. Nobody else may use them.",
  },
  python: {
    kind: path("a program", "FILE"),
    standard: "",
    flag: "python",
    env: "ALOFT_PYTHON",
    about:
      "Python 3.9 or newer for functions with the runtime `python`. Without it, the first `python3` of the server's PATH.",
  },
  baseDomain: {
    kind: lowerCaseDomain,
    standard: "localhost",
    flag: "base-domain",
    env: "ALOFT_BASE_DOMAIN",
    about: "Apps answer at `APP.DOMAIN` and `ALIAS--APP.DOMAIN`.",
  },
  defaultApp: {
    kind: { allowed: "the name of an app", placeholder: "APP", parse: (text) => (isAppName(text) ? text : undefined) },
    standard: "",
    flag: "default-app",
    env: "ALOFT_DEFAULT_APP",
    about: "App that answers a bare host name. Without it, the first app that was deployed.",
  },
  adminToken: {
    kind: {
      allowed: "16 to 512 visible characters without spaces",
      placeholder: "TOKEN",
      parse: (text) => (/^[\x21-\x7e]{16,512}$/.test(text) ? text : undefined),
    },
    standard: "",
    flag: null,
    env: "ALOFT_ADMIN_TOKEN",
    about: "Token of the control API. Without it the server makes one at its first start and prints it once.",
  },
  maxBodyBytes: {
    kind: size("1KiB", "1TiB"),
    standard: `${limits.requestBodyBytes / 1024 ** 2}MiB`,
    flag: "max-body-bytes",
    env: "ALOFT_MAX_BODY_BYTES",
    about: "Largest request body, as it streams through.",
  },
  waitForInstanceMs: {
    kind: duration(0, 15 * minute),
    standard: formatDuration(limits.waitForInstanceMs),
    flag: "wait-for-instance",
    env: "ALOFT_WAIT_FOR_INSTANCE",
    about: "How long a request waits for an instance before it is answered 503.",
  },
  memoryBudgetBytes: {
    kind: memory("64MiB"),
    standard: "70%",
    flag: "memory-budget",
    env: "ALOFT_MEMORY_BUDGET",
    about: "Memory all instances may take together; above it the longest idle ones are ended.",
  },
  zygotes: {
    kind: wholeNumber(0, 256, "N"),
    standard: "2",
    flag: "zygotes",
    env: "ALOFT_ZYGOTES",
    about: "Processes kept ready for each memory class in use, so that a cold start is a hand-over.",
  },
  zygotesMax: {
    kind: wholeNumber(0, 256, "N"),
    standard: "8",
    flag: "zygotes-max",
    env: "ALOFT_ZYGOTES_MAX",
    about: "Most such processes of all memory classes together.",
  },
  recordRetentionMs: {
    kind: duration(minute, 3650 * day),
    standard: formatDuration(limits.recordRetentionMs),
    flag: "record-retention",
    env: "ALOFT_RECORD_RETENTION",
    about: "How long records of invocations are kept, as far as their bound on size allows.",
  },
  logRetentionMs: {
    kind: duration(minute, 3650 * day),
    standard: formatDuration(limits.logRetentionMs),
    flag: "log-retention",
    env: "ALOFT_LOG_RETENTION",
    about: "How long log lines are kept, as far as their bound on size allows.",
  },
  trustProxy: {
    kind: truth,
    standard: "false",
    flag: "trust-proxy",
    env: "ALOFT_TRUST_PROXY",
    about: "Whether incoming `X-Forwarded-*` headers are believed. Only behind a proxy that sets them itself.",
  },
  logFormat: {
    kind: oneOf(["text", "json"]),
    standard: "text",
    flag: "log-format",
    env: "ALOFT_LOG_FORMAT",
    about: "How the server writes its own log: for reading, or one JSON value a line.",
  },
};

export const settingNames = Object.keys(settingsTable) as readonly SettingName[];

export type Environment = Readonly<Record<string, string | undefined>>;

export interface SettingsInput {
  /** Values of flags by the setting's name; a switch that was given is "true". */
  readonly flags?: Readonly<Partial<Record<SettingName, string>>>;
  /** `--config`; else ALOFT_CONFIG, else `aloft.config.json` in the data folder. */
  readonly configFile?: string | undefined;
  readonly env?: Environment;
  /** What relative paths of flags and the environment start at. */
  readonly folder?: string;
}

/** Reads all settings. Throws SETTING_INVALID. */
export async function loadSettings(input: SettingsInput = {}): Promise<Settings> {
  const env = input.env ?? process.env;
  const machine = { home: homedir(), memoryBytes: machineMemoryBytes() };
  const surroundings = { ...machine, folder: input.folder ?? process.cwd() };

  const found = new Map<SettingName, Found>();
  for (const name of settingNames) {
    const { standard, env: variable, flag } = settingsTable[name];
    if (standard !== "") found.set(name, { text: standard, source: "its default", surroundings });
    const given = env[variable];
    if (given !== undefined && given !== "")
      found.set(name, { text: given, source: `the variable ${variable}`, surroundings });
    const flagged = input.flags?.[name];
    if (flagged !== undefined) found.set(name, { text: flagged, source: `the flag --${flag ?? name}`, surroundings });
  }

  const named = input.configFile ?? (env["ALOFT_CONFIG"] || undefined);
  const dataDir = valueOf("dataDir", found.get("dataDir"));
  const file = resolve(surroundings.folder, named ?? join(dataDir ?? "", settingsFileName));
  for (const [name, text] of await readSettingsFile(file, named !== undefined)) {
    // A file in the data folder cannot say where that folder is: it was found there.
    if (name === "dataDir" && named === undefined) {
      throw new AloftError(
        "SETTING_INVALID",
        `setting dataDir is set in ${file}, which is read from the data folder itself`,
        {
          hint: "name the folder with --data, or keep the settings file elsewhere and name it with --config",
        },
      );
    }
    const existing = found.get(name);
    if (existing !== undefined && existing.source !== "its default") continue;
    found.set(name, { text, source: file, surroundings: { ...machine, folder: resolve(file, "..") } });
  }

  const values = Object.fromEntries(settingNames.map((name) => [name, valueOf(name, found.get(name)) ?? null]));
  // The table's type says that every value has the type of its setting.
  const settings = values as unknown as Settings;
  if (settings.zygotes > settings.zygotesMax) {
    const source = found.get("zygotes")?.source;
    throw new AloftError(
      "SETTING_INVALID",
      `setting zygotes has the value "${settings.zygotes}" from ${source}; allowed is at most zygotesMax, which is ${settings.zygotesMax}`,
      { hint: "raise --zygotes-max as well" },
    );
  }
  return settings;
}

export const settingsFileName = "aloft.config.json";

/** What the command line takes from the environment for itself. */
export interface CommandEnvironment {
  readonly server: string | null;
  readonly token: string | null;
  /** null: colours exactly when the output is a terminal. */
  readonly colour: boolean | null;
}

export function readCommandEnvironment(env: Environment = process.env): CommandEnvironment {
  const dumb = env["TERM"] === "dumb" || (env["NO_COLOR"] ?? "") !== "";
  return {
    server: env["ALOFT_SERVER"] || null,
    token: env["ALOFT_TOKEN"] || null,
    colour: dumb ? false : (env["FORCE_COLOR"] ?? "") !== "" ? env["FORCE_COLOR"] !== "0" : null,
  };
}

/** Folders in which the server finds programs. */
export function readSearchPath(env: Environment = process.env): readonly string[] {
  return (env["PATH"] ?? "").split(":").filter((folder) => folder.startsWith("/"));
}

/** The whole of docs/settings.md. */
export function settingsMarkdown(): string {
  const rows = settingNames.map((name) => {
    const { flag, env, kind, standard, about } = settingsTable[name];
    const usage = `--${flag} ${kind.placeholder}`.trim().replaceAll("|", "\\|");
    const flagCell = flag === null ? "" : `\`${usage}\``;
    return `| \`${name}\` | ${flagCell} | \`${env}\` | ${standard === "" ? "" : `\`${standard}\``} | ${about} Allowed: ${kind.allowed}. |`;
  });
  return `# Settings

<!-- Made from \`settingsTable\` in src/config.ts by settingsMarkdown(); a test holds the two together. -->

A setting comes from, the later over the earlier:

1. its default,
2. the settings file: the one named by \`--config FILE\` or \`ALOFT_CONFIG\`, else \`${settingsFileName}\` in the data folder
   when there is one. It is JSON with comments; its keys are the names below, sizes and durations are written with their
   unit (\`"100MiB"\`, \`"10s"\`) or as a plain number of the unit in the name. Relative paths start at the file's folder.
   An unknown key is an error,
3. the environment; an empty variable counts as not set,
4. a flag of \`aloft serve\` or \`aloft dev\`.

A value that is not allowed stops the start with \`SETTING_INVALID\`, which names the setting, the value, where it came
from and what is allowed.

| name | flag | variable | default | meaning |
| --- | --- | --- | --- | --- |
${rows.join("\n")}

\`aloft dev\` keeps its data in \`.aloft/dev\` of the app's folder and listens on loopback only.

The commands that speak to a server read \`ALOFT_SERVER\` and \`ALOFT_TOKEN\` (see [commands.md](commands.md));
\`NO_COLOR\` turns colours off.
`;
}

interface Found {
  readonly text: string;
  readonly source: string;
  readonly surroundings: Surroundings;
}

function valueOf<Name extends SettingName>(name: Name, found: Found | undefined): Settings[Name] | undefined {
  if (found === undefined) return undefined;
  const { kind } = settingsTable[name];
  const value = kind.parse(found.text.trim(), found.surroundings);
  if (value !== undefined) return value;
  const shown = name === "adminToken" ? "that is not shown here" : JSON.stringify(found.text);
  throw new AloftError(
    "SETTING_INVALID",
    `setting ${name} has the value ${shown} from ${found.source}; allowed is ${kind.allowed}`,
  );
}

async function readSettingsFile(file: string, required: boolean): Promise<[SettingName, string][]> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // A data folder that is none has no settings; opening it says what is wrong with it.
    if ((code === "ENOENT" || code === "ENOTDIR") && !required) return [];
    throw new AloftError("SETTING_INVALID", `the settings file ${file} cannot be read: ${code}`, { cause: error });
  }
  // Loaded only when there is a file: most starts of the command line have none.
  const { parse, printParseErrorCode } = await import("jsonc-parser");
  const mistakes: { error: number; offset: number; length: number }[] = [];
  const content: unknown = parse(text, mistakes, { allowTrailingComma: true });
  const [mistake] = mistakes;
  if (mistake !== undefined) {
    const line = text.slice(0, mistake.offset).split("\n").length;
    throw new AloftError(
      "SETTING_INVALID",
      `the settings file ${file} is not JSON: ${printParseErrorCode(mistake.error)} in line ${line}`,
    );
  }
  if (typeof content !== "object" || content === null || Array.isArray(content)) {
    throw new AloftError("SETTING_INVALID", `the settings file ${file} holds no object`);
  }
  return Object.entries(content).map(([key, value]) => {
    if (!isSettingName(key)) throw unknownKey(key, file);
    if (typeof value === "string" || typeof value === "boolean") return [key, String(value)];
    if (typeof value === "number")
      return [key, settingsTable[key].kind.placeholder === "DURATION" ? `${value}ms` : String(value)];
    throw new AloftError(
      "SETTING_INVALID",
      `setting ${key} has the value ${JSON.stringify(value)} from ${file}; allowed is ${settingsTable[key].kind.allowed}`,
    );
  });
}

function isSettingName(name: string): name is SettingName {
  return Object.hasOwn(settingsTable, name);
}

function unknownKey(key: string, file: string): AloftError {
  const meant = nearestWord(key, settingNames);
  return new AloftError(
    "SETTING_INVALID",
    `"${key}" in ${file} is not a setting; allowed are ${settingNames.join(", ")}`,
    {
      hint: meant === null ? undefined : `did you mean ${meant}?`,
    },
  );
}

/** What a container of ours may use counts, not what the machine has. */
function machineMemoryBytes(): number {
  const constrained = process.constrainedMemory();
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
}

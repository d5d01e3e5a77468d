/** `aloft help`, `--help` of each command, and docs/commands.md: three renderings of the table of commands. */
import { nearestWord } from "../lib/edit-distance.ts";
import { usageError } from "./arguments.ts";
import type { FlagSpec } from "./arguments.ts";
import type { Command, Context } from "./command.ts";
import { commands, findCommand } from "./commands.ts";

export async function run({ words, terminal, json }: Context): Promise<number> {
  const [word] = words;
  if (word === undefined) {
    if (json) terminal.printJson(commands.map(({ name, usage, summary }) => ({ name, usage, summary })));
    else terminal.print(overview());
    return 0;
  }
  const found = findCommand(word);
  if (found === null) {
    const meant = nearestWord(
      word,
      commands.map(({ name }) => name),
    );
    throw usageError(`aloft has no command "${word}"`, "", meant === null ? null : `aloft help ${meant}`);
  }
  if (json) terminal.printJson(found.command);
  else terminal.print(commandHelp(found.command));
  return 0;
}

export function commandHelp(command: Command): string {
  const parts = [
    `usage: ${usageOf(command)}`,
    `${sentence(command.summary)}${command.about === undefined ? "" : `\n${command.about}`}`,
  ];
  parts.push(["flags:", ...columns(command.flags.map((flag) => [flagText(flag), flag.about]))].join("\n"));
  parts.push(["examples:", ...columns(command.examples.map(({ line, about }) => [line, about]))].join("\n"));
  return parts.join("\n\n");
}

/** The whole of docs/commands.md. */
export function commandsMarkdown(): string {
  const sections = commands.map((command) => {
    const flags = command.flags.map((flag) => `| \`${flagText(flag).replaceAll("|", "\\|")}\` | ${flag.about} |`);
    return [
      `## ${command.name}`,
      `    ${usageOf(command)}`,
      sentence(command.summary) + (command.about === undefined ? "" : ` ${command.about}`),
      ["| flag | meaning |", "| --- | --- |", ...flags].join("\n"),
      ["```sh", ...command.examples.map(({ line, about }) => `${line}  # ${about}`), "```"].join("\n"),
    ].join("\n\n");
  });
  return `# Commands

<!-- Made from the table in src/cli/commands.ts by commandsMarkdown(); a test holds the two together. -->

${commands.map(({ name, summary }) => `- [\`aloft ${name}\`](#${name}): ${summary}`).join("\n")}

Results go to stdout, everything else to stderr. With \`--json\` stdout holds one JSON value, or one a line where the
command streams; an error is then the problem document of [errors.md](errors.md).

Exit codes: 0 done, 1 the platform or the function failed, 2 wrong usage (\`USAGE\`, \`NAME_INVALID\`, \`SETTING_INVALID\`).

Commands that speak to a server find it, in this order, by \`--server\`, by \`ALOFT_SERVER\`, by a running \`aloft dev\` of
this folder or one above it, else at \`http://127.0.0.1:8788\`. The token is that of \`--token\`, of \`ALOFT_TOKEN\`, or dev's
own. \`aloft dev\` leaves address and token in \`.aloft/server.json\`, readable by its user alone, and removes the file when
it ends; \`aloft serve\` leaves neither anywhere.

${sections.join("\n\n")}
`;
}

function overview(): string {
  const lines = columns(commands.map(({ name, summary }) => [name, summary]));
  return [
    "aloft: a folder of code in, a scaled service out",
    ["usage: aloft COMMAND", ...lines].join("\n"),
    "aloft COMMAND --help shows flags and examples. All take --json.",
    "Exit codes: 0 done, 1 the platform or the function failed, 2 wrong usage.",
  ].join("\n\n");
}

function usageOf({ name, usage }: Command): string {
  return `aloft ${name} ${usage}`.trim();
}

function flagText({ name, short, placeholder }: FlagSpec): string {
  const names = short === undefined ? `--${name}` : `-${short}, --${name}`;
  return placeholder === undefined ? names : `${names} ${placeholder}`;
}

function columns(rows: readonly (readonly [string, string])[]): string[] {
  // A long left side has its right side on the next line.
  const width = Math.min(44, Math.max(...rows.map(([left]) => left.length)));
  return rows.map(([left, right]) => {
    const gap = left.length > width ? `\n${" ".repeat(width + 4)}` : " ".repeat(width + 2 - left.length);
    return `  ${left}${gap}${right}`;
  });
}

function sentence(summary: string): string {
  return `${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`;
}

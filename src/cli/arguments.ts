/** Reads a command's arguments against the table of what it takes, and says what was probably meant when it is not there. */
import { AloftError } from "../contract/errors.ts";
import { nearestWord } from "../lib/edit-distance.ts";

export interface FlagSpec {
  /** Without the hyphens. */
  readonly name: string;
  readonly short?: string;
  /** Stands for the value in help; absent: the flag is a switch. */
  readonly placeholder?: string;
  readonly about: string;
}

export interface ArgumentSpec {
  readonly name: string;
  /** Usage without the command's name, e.g. "APP [DEPLOYMENT] [--alias NAME]". */
  readonly usage: string;
  /** How many words it takes besides its flags. */
  readonly words: { readonly min: number; readonly max: number };
  readonly flags: readonly FlagSpec[];
}

export class Flags {
  readonly #values: ReadonlyMap<string, string>;

  constructor(values: ReadonlyMap<string, string>) {
    this.#values = values;
  }

  /** The value given last, or undefined. */
  text(name: string): string | undefined {
    return this.#values.get(name);
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }
}

export interface ParsedArguments {
  readonly words: readonly string[];
  readonly flags: Flags;
}

/** `--name value`, `--name=value`, `-f`, and everything after `--` as words. Throws USAGE. */
export function parseArguments(args: readonly string[], spec: ArgumentSpec): ParsedArguments {
  const words: string[] = [];
  const values = new Map<string, string>();
  const queue = [...args];
  for (let argument = queue.shift(); argument !== undefined; argument = queue.shift()) {
    if (argument === "--") {
      words.push(...queue.splice(0));
    } else if (!argument.startsWith("-") || argument === "-") {
      words.push(argument);
    } else {
      const [given, ...rest] = argument.split("=");
      const flag = findFlag(given ?? "", spec);
      values.set(flag.name, valueOf(flag, given ?? "", rest.length > 0 ? rest.join("=") : undefined, queue));
    }
  }
  // Who asks for help has not finished the command.
  if (!values.has("help")) checkWords(words, spec);
  return { words, flags: new Flags(values) };
}

/** A mistake in how the command was written; the hint points at its usage. */
export function usageError(message: string, command: string, meant?: string | null): AloftError {
  const help = `aloft ${command} --help shows what it takes`.replace("  ", " ");
  return new AloftError("USAGE", message, { hint: meant ? `did you mean ${meant}?` : help });
}

function findFlag(given: string, spec: ArgumentSpec): FlagSpec {
  const found = given.startsWith("--")
    ? spec.flags.find((flag) => flag.name === given.slice(2))
    : spec.flags.find((flag) => flag.short === given.slice(1));
  if (found !== undefined) return found;
  const meant = nearestWord(
    given.replace(/^-+/, ""),
    spec.flags.map((flag) => flag.name),
  );
  throw usageError(`aloft ${spec.name} has no flag ${given}`, spec.name, meant === null ? null : `--${meant}`);
}

function valueOf(flag: FlagSpec, given: string, attached: string | undefined, queue: string[]): string {
  if (flag.placeholder === undefined) {
    if (attached === undefined || attached === "true") return "true";
    throw new AloftError("USAGE", `${given} takes no value, and "${attached}" was given`);
  }
  // A lone "-" is a value, and so is a negative number; another flag is not.
  const value = attached ?? (queue[0]?.startsWith("--") === true ? undefined : queue.shift());
  if (value !== undefined) return value;
  throw new AloftError("USAGE", `${given} needs a value`, { hint: `write ${given} ${flag.placeholder}` });
}

function checkWords(words: readonly string[], spec: ArgumentSpec): void {
  const { min, max } = spec.words;
  if (words.length < min) {
    throw new AloftError("USAGE", `aloft ${spec.name} needs more: ${expected(spec)}`, {
      hint: `aloft ${spec.name} --help shows examples`,
    });
  }
  if (words.length > max) {
    throw usageError(`"${words[max]}" is more than aloft ${spec.name} takes: ${expected(spec)}`, spec.name);
  }
}

function expected(spec: ArgumentSpec): string {
  return `aloft ${spec.name} ${spec.usage}`.trim();
}

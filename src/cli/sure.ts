/** For what cannot be taken back: `--yes`, or a person who says so. */
import { AloftError } from "../contract/errors.ts";
import type { Context } from "./command.ts";

/** `command`: what was asked for, without flags. Throws USAGE where nobody can be asked. */
export async function isSure({ flags, terminal }: Context, command: string, question: string): Promise<boolean> {
  if (flags.has("yes")) return true;
  if (!terminal.interactive) {
    throw new AloftError("USAGE", `${command} was given where nobody can be asked`, { hint: `write ${command} --yes` });
  }
  const { confirm } = await import("./asking.ts");
  if (await confirm(question, terminal)) return true;
  terminal.note("nothing deleted");
  return false;
}

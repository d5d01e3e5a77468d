/** The variables that `dev` gives an app: those of its `.env`. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { isReservedVariable, isVariableName } from "../contract/names.ts";

export interface Dotenv {
  readonly variables: Readonly<Record<string, string>>;
  /** Names that cannot be given to an app: reserved, or not a variable's name. */
  readonly refused: readonly string[];
}

/** Without the file: no variables. */
export async function readDotenv(folder: string): Promise<Dotenv> {
  let text: string;
  try {
    text = await readFile(join(folder, ".env"), "utf8");
  } catch {
    return { variables: {}, refused: [] };
  }
  const variables: Record<string, string> = {};
  const refused: string[] = [];
  for (const [name, value] of Object.entries(parseEnv(text))) {
    if (isVariableName(name) && !isReservedVariable(name)) variables[name] = value ?? "";
    else refused.push(name);
  }
  return { variables, refused };
}

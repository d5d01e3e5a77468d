/**
 * The published JSON Schema of `aloft.json`, from the schema that validates it. `node scripts/schema.ts` writes
 * `docs/aloft.schema.json`; a test holds the file equal to what this makes.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { toJsonSchema } from "@valibot/to-json-schema";
import { appConfigSchema } from "../src/contract/app-config-schema.ts";

export const schemaFile = join(import.meta.dirname, "..", "docs", "aloft.schema.json");

if (import.meta.main) writeFileSync(schemaFile, schemaText());

export function schemaText(): string {
  // What a schema cannot say (names by rule, ranges of durations) is checked when the file is read.
  return `${JSON.stringify(toJsonSchema(appConfigSchema, { ignoreActions: ["check"] }), null, 2)}\n`;
}

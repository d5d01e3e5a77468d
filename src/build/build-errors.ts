/** What the bundler says, as its user should read it: file, line and column, what is wrong, and the line itself. */
import type { Message } from "esbuild";
import { AloftError } from "../contract/errors.ts";
import { packageNameOf } from "./installed-package.ts";

const errorsShown = 10; // the first ones usually cause the others

export function buildFailedOf(errors: readonly Message[]): AloftError {
  const shown = errors.slice(0, errorsShown).map(formatMessage);
  if (errors.length > shown.length) shown.push(`and ${errors.length - shown.length} more errors`);
  const hint = errors.map(hintFor).find((found) => found !== undefined);
  const detail = {
    errors: errors.slice(0, errorsShown).map(({ text, location }) => ({
      text,
      ...(location === null ? {} : { file: location.file, line: location.line, column: location.column + 1 }),
    })),
  };
  return new AloftError("BUILD_FAILED", shown.join("\n\n"), { hint, detail });
}

/**
 *     index.ts:3:9: Expected ";" but found "b"
 *         3 | const a b = 1;
 *           |         ^
 */
export function formatMessage({ text, location }: Message): string {
  if (location === null) return text;
  const { file, line, column, length, lineText } = location;
  const head = `${file}:${line}:${column + 1}: ${text}`;
  // The bundler counts bytes; a minified line would fill the screen.
  const before = Buffer.from(lineText).subarray(0, column).toString();
  if (lineText.length > 300) return head;
  const marked = Buffer.from(lineText)
    .subarray(column, column + length)
    .toString();
  const number = String(line);
  const indent = before.replaceAll(/[^\t]/g, " ");
  return [
    head,
    `    ${number} | ${lineText}`,
    `    ${" ".repeat(number.length)} | ${indent}${"^".repeat(Math.max(1, marked.length))}`,
  ].join("\n");
}

function hintFor({ text }: Message): string | undefined {
  const specifier = /^Could not resolve "([^"]+)"/.exec(text)?.[1];
  if (specifier === undefined || /^[./]/.test(specifier)) return undefined;
  const name = packageNameOf(specifier);
  return name === null ? undefined : `install it with: npm install ${name}`;
}

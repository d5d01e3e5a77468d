/** The user's own error inside one of the platform's. */
import type { AloftError } from "../contract/errors.ts";

export function thrownIn({ message, detail }: AloftError): { type: string; message: string; stack: string } {
  const type = textOr(detail?.["error"], "Error");
  // The name stands in front of the message for people; here it has a place of its own.
  const plain = message.startsWith(`${type}: `) ? message.slice(type.length + 2) : message;
  return { type, message: plain, stack: textOr(detail?.["stack"], "") };
}

function textOr(value: unknown, otherwise: string): string {
  return typeof value === "string" ? value : otherwise;
}

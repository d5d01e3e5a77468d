/** What guests and callers of the API say to a resource is unknown input: its parts are read here, each refused by its name. */
import { AloftError } from "../contract/errors.ts";
import { limits } from "../contract/limits.ts";

export type Args = Readonly<Record<string, unknown>>;

export function textArg(args: Args, name: string): string {
  const value = args[name];
  if (typeof value === "string" && value.isWellFormed()) return value;
  throw invalidArg(name, "must be well-formed text");
}

export function optionalText(args: Args, name: string): string | null {
  return args[name] === undefined || args[name] === null ? null : textArg(args, name);
}

export function optionalTruth(args: Args, name: string): boolean {
  const value = args[name];
  if (value === undefined || value === null || value === false) return false;
  if (value === true) return true;
  throw invalidArg(name, "must be true or false");
}

/** null where it is not given. */
export function optionalInteger(args: Args, name: string, min: number, max: number): number | null {
  const value = args[name];
  if (value === undefined || value === null) return null;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= min && value <= max) return value;
  throw invalidArg(name, `must be a whole number from ${min} to ${max}`);
}

/** The name of a queue, a stream, a kv or blob store. */
export function assertResourceName(kind: string, name: string): void {
  if (name !== "" && name.length <= limits.resourceNameChars && name.isWellFormed()) return;
  const message = `the name of a ${kind} store must be well-formed text of 1 to ${limits.resourceNameChars} characters`;
  throw new AloftError("REQUEST_INVALID", message);
}

export function invalidArg(name: string, must: string): AloftError {
  return new AloftError("REQUEST_INVALID", `"${name}" ${must}`);
}

export function unknownMethod(kind: string, method: string): AloftError {
  return new AloftError("REQUEST_INVALID", `${kind} has no method "${method.slice(0, 50)}"`);
}

/** What a name may be. `--` joins an alias and an app in a host name, so no name holds it. */
import { AloftError } from "./errors.ts";
import { limits } from "./limits.ts";

const appName = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/;
const functionName = /^[A-Za-z_$][A-Za-z0-9_$-]*$/;
const aliasName = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/;
const variableName = /^[A-Za-z_][A-Za-z0-9_]*$/;
const domainName =
  /^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+(?=[a-z0-9-]*[a-z])[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const packageName = /^(?:@[a-z0-9-~][a-z0-9-._~]*\/)?[a-z0-9-~][a-z0-9-._~]*$/i;
const reservedVariable = /^(?:ALOFT_|AWS_LAMBDA_|LD_)/;

/** Where a deploy goes unless it says otherwise, and the alias that plain host names and domains reach. */
export const productionAlias = "production";

export function isAppName(name: string): boolean {
  return name.length <= limits.appNameChars && appName.test(name) && !name.includes("--");
}

export function isFunctionName(name: string): boolean {
  return name.length <= limits.functionNameChars && functionName.test(name) && !name.includes("--");
}

export function isAliasName(name: string): boolean {
  return name.length <= limits.aliasNameChars && aliasName.test(name) && !name.includes("--");
}

export function isVariableName(name: string): boolean {
  return name.length <= 256 && variableName.test(name);
}

export function isReservedVariable(name: string): boolean {
  return reservedVariable.test(name);
}

/** A host name an app may claim: lower case, without port, at least two labels, and no IP address. */
export function isDomainName(name: string): boolean {
  return name.length <= 253 && domainName.test(name);
}

/** As npm allows it, with or without a scope. */
export function isPackageName(name: string): boolean {
  return name.length <= 214 && packageName.test(name);
}

export function assertAppName(name: string): void {
  if (isAppName(name)) return;
  throw new AloftError("NAME_INVALID", `"${name}" is not a name for an app`, {
    hint: `use lower-case letters, digits and single hyphens, at most ${limits.appNameChars} characters`,
  });
}

export function assertAliasName(name: string): void {
  if (isAliasName(name)) return;
  throw new AloftError("NAME_INVALID", `"${name}" is not a name for an alias`, {
    hint: `use lower-case letters, digits and single hyphens, at most ${limits.aliasNameChars} characters`,
  });
}

export function assertFunctionName(name: string): void {
  if (isFunctionName(name)) return;
  throw new AloftError("NAME_INVALID", `"${name}" is not a name for a function`, {
    hint: `use letters, digits, _, $ and single hyphens, at most ${limits.functionNameChars} characters`,
  });
}

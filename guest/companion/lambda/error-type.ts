/** Error types as runtimes and extensions send them in headers: outside the pattern they are not handed on. */

export function functionErrorType(header: string | undefined): string {
  const type = header ?? "";
  if (/^(?:Runtime|Function)\.[A-Z][a-zA-Z]+$/.test(type)) return type;
  return type.startsWith("Function.") ? "Function.Unknown" : "Runtime.Unknown";
}

/** How a caller of the function reads an error, and how AWS's clients write one. */
export interface FunctionError {
  readonly errorType: string;
  readonly errorMessage: string;
  /** Lines; whatever the runtime put there. */
  readonly stackTrace: readonly string[];
}

/**
 * The body of `/error` and of `/init/error`, which is JSON by agreement only. What it does not say is filled in: the type
 * from the header, the message from the body's own text.
 */
export function functionErrorFrom(body: string, headerType: string): FunctionError {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return { errorType: headerType, errorMessage: body, stackTrace: [] };
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { errorType: headerType, errorMessage: typeof value === "string" ? value : body, stackTrace: [] };
  }
  // AWS's client for Node calls it `trace`.
  const { errorType, errorMessage, trace, stackTrace = trace } = value as Record<string, unknown>;
  return {
    errorType: typeof errorType === "string" && errorType !== "" ? errorType : headerType,
    errorMessage: typeof errorMessage === "string" ? errorMessage : "",
    stackTrace: Array.isArray(stackTrace) ? stackTrace.map(traceLine) : [],
  };
}

/** Python and Node send lines, .NET and Java lists of them, Ruby and Go objects. */
function traceLine(line: unknown): string {
  return typeof line === "string" ? line : JSON.stringify(line);
}

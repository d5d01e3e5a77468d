/** Calls with a value, for handlers that only know requests: the value is posted as JSON, the answer read as a value. */
import type { Context } from "../../sdk/index.ts";

export function requestWithValue(input: unknown, context: Context): Request {
  const body = JSON.stringify(input ?? null);
  const length = String(Buffer.byteLength(body));
  const headers = new Headers({ "content-type": "application/json", "content-length": length });
  if (context.traceparent !== "") headers.set("traceparent", context.traceparent);
  return new Request("http://localhost/", { method: "POST", headers, body, signal: context.signal });
}

/** JSON as what it says, text as a string, nothing as null. Throws for a status that is not a success. */
export async function valueOfResponse(response: unknown): Promise<unknown> {
  if (!(response instanceof Response)) throw new TypeError("the handler must return a Response");
  const text = await response.text();
  if (!response.ok) throw new Error(`the handler answered with the status ${response.status}: ${text.slice(0, 1000)}`);
  if (text === "") return null;
  return /\bjson\b/.test(response.headers.get("content-type") ?? "") ? JSON.parse(text) : text;
}

/** Services of others, which fail, are slow, and do not say whether they did what they were asked before they failed. */
import { type Context, RetryAfter } from "aloft";

const waitMs = 1000;

/** What it answered, if that is its last word (2xx or 4xx); everything else is thrown, to be tried again. */
export async function ask(
  variable: "PAYMENTS_URL" | "MAIL_URL",
  path: string,
  body: object,
  { idempotencyKey, signal }: Context,
): Promise<Response> {
  const url = process.env[variable];
  if (url === undefined) throw new Error(`the variable ${variable} is missing: see the README`);
  const response = await fetch(`${url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", "idempotency-key": idempotencyKey },
    body: JSON.stringify(body),
    signal: AbortSignal.any([signal, AbortSignal.timeout(waitMs)]),
  });
  await response.arrayBuffer(); // frees the connection; what is in it nobody needs
  if (response.status === 429) throw new RetryAfter(Number(response.headers.get("retry-after") ?? 1) * 1000);
  if (response.status >= 500) throw new Error(`${url}${path} answered ${response.status}`);
  return response;
}

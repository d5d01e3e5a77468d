/** Request bodies, with their limits. */
import type { IncomingMessage } from "node:http";
import { AloftError } from "../contract/errors.ts";
import { limits } from "../contract/limits.ts";

/** Throws REQUEST_INVALID when the body is no JSON object, BODY_TOO_LARGE. */
export async function readJsonObject(request: IncomingMessage): Promise<Readonly<Record<string, unknown>>> {
  const text = (await readBytes(request, limits.apiBodyBytes)).toString("utf8");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : "it cannot be parsed";
    throw new AloftError("REQUEST_INVALID", `the body is not JSON: ${reason}`);
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new AloftError("REQUEST_INVALID", "the body must be a JSON object");
}

export async function readBytes(request: IncomingMessage, bytesMax: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of bodyChunks(request, bytesMax)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** The body as it comes, no faster than it is taken. Whoever stops early can still answer: the connection stays. */
export async function* bodyChunks(request: IncomingMessage, bytesMax: number): AsyncGenerator<Buffer> {
  const announced = Number(request.headers["content-length"] ?? 0);
  if (announced > bytesMax) throw tooLarge(announced, bytesMax);
  let bytes = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw tooLarge(bytes, bytesMax);
    yield chunk;
  }
}

function tooLarge(bytes: number, bytesMax: number): AloftError {
  return new AloftError("BODY_TOO_LARGE", `the body has at least ${bytes} bytes, allowed are ${bytesMax}`);
}

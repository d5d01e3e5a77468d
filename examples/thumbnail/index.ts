/**
 * POST an image, get it resized:
 *
 *     POST /?w=320                 320 pixels wide, as high as its shape asks
 *     POST /?w=200&h=200           fills 200 x 200, cut to the middle
 *     POST /?w=320&format=webp     jpeg, png, webp or avif; jpeg unless told
 *
 * The image streams through: what has been read is decoded while the rest is on its way, and only the small one is held.
 */
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { http } from "aloft";
import sharp from "sharp";

const formats = ["jpeg", "png", "webp", "avif"] as const;
const sideMax = 4096;

export const thumbnail = http("POST /", { memory: "512MiB" }, async (request, { signal }) => {
  const query = new URL(request.url).searchParams;
  const width = side(query, "w");
  const height = side(query, "h");
  const format = formats.find((name) => name === (query.get("format") ?? "jpeg"));
  if (Number.isNaN(width) || Number.isNaN(height)) return problem(`w and h are whole numbers from 1 to ${sideMax}`);
  if (format === undefined) return problem(`format is one of ${formats.join(", ")}`);
  if (request.body === null) return problem("send the image as the request's body");

  // Larger than any camera's picture: an image of a few kilobytes can claim to have a million pixels on each side.
  const image = sharp({ limitInputPixels: 100_000_000, sequentialRead: true })
    .autoOrient()
    .resize({ width: width ?? (height === undefined ? 320 : undefined), height, withoutEnlargement: true })
    .toFormat(format);
  const sent = pipeline(Readable.fromWeb(request.body), image, { signal, end: true });
  try {
    const [{ data, info }] = await Promise.all([image.toBuffer({ resolveWithObject: true }), sent]);
    return new Response(new Uint8Array(data), {
      headers: { "content-type": `image/${format}`, "image-size": `${info.width}x${info.height}` },
    });
  } catch (error) {
    return problem(`this is not an image that can be read: ${(error as Error).message}`, 415);
  }
});

/** undefined: not asked for; NaN: not a side. */
function side(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  const value = /^\d{1,4}$/.test(text) ? Number(text) : Number.NaN;
  return value >= 1 && value <= sideMax ? value : Number.NaN;
}

function problem(detail: string, status = 400): Response {
  return Response.json({ status, detail }, { status, headers: { "content-type": "application/problem+json" } });
}

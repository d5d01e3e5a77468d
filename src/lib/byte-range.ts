/** The header Range of one range of bytes (RFC 9110 14.1.2). */

export type ByteRange =
  /** Not asked for, or in a way that a server may leave aside: several ranges, other units, what is no range at all. */
  | { readonly kind: "whole" }
  /** `end` is not included. */
  | { readonly kind: "part"; readonly start: number; readonly end: number }
  /** Asked for, and not there: 416. */
  | { readonly kind: "none" };

export function parseByteRange(header: string | undefined, size: number): ByteRange {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header?.trim() ?? "");
  const [, first = "", last = ""] = match ?? [];
  if (first === "" && last === "") return { kind: "whole" };
  if (first === "") {
    // The last so many bytes.
    const length = Math.min(Number(last), size);
    return length === 0 ? { kind: "none" } : { kind: "part", start: size - length, end: size };
  }
  const start = Number(first);
  if (last !== "" && Number(last) < start) return { kind: "whole" };
  if (start >= size) return { kind: "none" };
  return { kind: "part", start, end: last === "" ? size : Math.min(Number(last) + 1, size) };
}

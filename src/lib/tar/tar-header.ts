/**
 * One header block of a tar archive, as POSIX.1-2001 (ustar, pax), GNU tar and their forerunners write it. After
 * pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html and the GNU tar manual, "Basic Tar Format".
 */

export const blockBytes = 512;

/** The archive is not what its format says; the message is the rest of a sentence that begins with "it". */
export class TarError extends Error {}

export type TarKind =
  | "file"
  | "folder"
  | "symlink"
  | "hardlink"
  | "character device"
  | "block device"
  | "fifo"
  /** Speaks of the entry after it, or of all; the reader uses these up. */
  | "pax"
  | "pax global"
  | "gnu path"
  | "gnu link"
  /** A volume's label and the like. */
  | "other";

export interface TarHeader {
  readonly kind: TarKind;
  readonly path: string;
  readonly linkPath: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeS: number;
  /** Of what follows in the archive. */
  readonly dataBytes: number;
  /** A sparse file of the old GNU format, whose map stands in the header. */
  readonly isOldSparse: boolean;
}

/** null: a block of zeros, which ends the archive. */
export function parseTarHeader(block: Buffer): TarHeader | null {
  if (block.every((byte) => byte === 0)) return null;
  assertChecksum(block);
  const flag = String.fromCharCode(block[156] ?? 0);
  const magic = block.toString("latin1", 257, 263);
  const isUstar = magic === "ustar\0";
  // GNU tar and old ones have other things where ustar has the front part of a long path.
  const prefix = isUstar ? textAt(block, 345, 155) : "";
  const name = textAt(block, 0, 100);
  const path = prefix === "" ? name : `${prefix}/${name}`;
  const kind = kindOf(flag, path);
  return {
    kind,
    path,
    linkPath: textAt(block, 157, 100),
    mode: numberAt(block, 100, 8, "mode") & 0o7777,
    uid: numberAt(block, 108, 8, "uid"),
    gid: numberAt(block, 116, 8, "gid"),
    mtimeS: numberAt(block, 136, 12, "mtime"),
    dataBytes: hasData(kind) ? numberAt(block, 124, 12, "size") : 0,
    isOldSparse: flag === "S",
  };
}

/** Links, folders and devices have none, whatever their size says. */
export function hasData(kind: TarKind): boolean {
  switch (kind) {
    case "file":
    case "pax":
    case "pax global":
    case "gnu path":
    case "gnu link":
    case "other":
      return true;
    default:
      return false;
  }
}

function kindOf(flag: string, path: string): TarKind {
  switch (flag) {
    case "0":
    case "\0":
    case "7": // a file that wants to lie in one piece
    case "S":
      // From before there were folders in tar.
      return path.endsWith("/") && flag !== "S" ? "folder" : "file";
    case "1":
      return "hardlink";
    case "2":
      return "symlink";
    case "3":
      return "character device";
    case "4":
      return "block device";
    case "5":
      return "folder";
    case "6":
      return "fifo";
    case "x":
    case "X": // Solaris
      return "pax";
    case "g":
      return "pax global";
    case "L":
      return "gnu path";
    case "K":
      return "gnu link";
    default:
      return "other";
  }
}

/** Some old programs summed signed bytes. */
function assertChecksum(block: Buffer): void {
  const said = numberAt(block, 148, 8, "checksum");
  let unsigned = 0;
  let signed = 0;
  for (let at = 0; at < blockBytes; at++) {
    const byte = at >= 148 && at < 156 ? 0x20 : (block[at] ?? 0);
    unsigned += byte;
    signed += byte > 127 ? byte - 256 : byte;
  }
  if (said !== unsigned && said !== signed) throw new TarError("has a header whose checksum is wrong");
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Up to the first zero byte. */
export function textAt(block: Buffer, start: number, bytes: number): string {
  const field = block.subarray(start, start + bytes);
  const end = field.indexOf(0);
  return decodeText(end < 0 ? field : field.subarray(0, end));
}

export function decodeText(bytes: Buffer): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new TarError(`has a name that is not UTF-8: ${JSON.stringify(bytes.toString("latin1").slice(0, 200))}`);
  }
}

/** Octal digits, or a binary number where the first bit is set (GNU, for what does not fit). */
export function numberAt(block: Buffer, start: number, bytes: number, what: string): number {
  const first = block[start] ?? 0;
  if ((first & 0x80) !== 0) {
    if ((first & 0x40) !== 0) {
      // Negative: a time before 1970, and nothing else that makes sense.
      if (what === "mtime") return 0;
      throw new TarError(`has a header whose ${what} is negative`);
    }
    let value = first & 0x3f;
    for (let at = start + 1; at < start + bytes; at++) value = value * 256 + (block[at] ?? 0);
    return safe(value, what);
  }
  const text = block
    .toString("latin1", start, start + bytes)
    .replace(/\0.*$/s, "")
    .trim();
  if (text === "") return 0;
  if (/^[0-7]+$/.test(text)) return safe(Number.parseInt(text, 8), what);
  throw new TarError(`has a header whose ${what} is no number`);
}

function safe(value: number, what: string): number {
  if (Number.isSafeInteger(value)) return value;
  throw new TarError(`has a header whose ${what} is out of range`);
}

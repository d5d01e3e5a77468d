/**
 * Reads zip archives (PKWARE APPNOTE 6.3.10) as tools for AWS Lambda write them: stored or deflated entries, with Unix modes and
 * symbolic links where they were made on Unix. What is neither is refused: encryption, 64-bit sizes, other methods, archives
 * in several parts. The directory at the end is what counts; sums are checked as entries are read.
 */
import { crc32, inflateRawSync } from "node:zlib";

export interface ZipEntry {
  /** Relative, without "." and "..", parted by slashes. */
  readonly path: string;
  /** The content of a link is the path that it names. */
  readonly kind: "file" | "folder" | "link";
  readonly isExecutable: boolean;
  readonly bytes: number;
  /** Throws a ZipError where the content is damaged. */
  read(): Buffer;
}

export class ZipError extends Error {
  override readonly name = "ZipError";
}

const endSignature = 0x06054b50;
const endBytes = 22;
const commentBytesMax = 65_535;
const entrySignature = 0x02014b50;
const entryBytes = 46;
const localSignature = 0x04034b50;
const localBytes = 30;
const encrypted = 1;
const unix = 3;
const kindMask = 0o170000;
const linkKind = 0o120000;
const in64Bits = 0xffff_ffff;

/** In the order of the archive. `bytesMax`: of one entry as it says itself. Throws a ZipError. */
export function readZip(archive: Buffer, entriesMax: number, bytesMax: number): readonly ZipEntry[] {
  const end = findEnd(archive);
  const count = archive.readUInt16LE(end + 10);
  if (count > entriesMax) throw new ZipError(`it has ${count} entries, allowed are ${entriesMax}`);
  let at = archive.readUInt32LE(end + 16);
  const entries: ZipEntry[] = [];
  for (let index = 0; index < count; index += 1) {
    if (at + entryBytes > end || archive.readUInt32LE(at) !== entrySignature) throw damaged("its directory");
    const nameBytes = archive.readUInt16LE(at + 28);
    const nextAt = at + entryBytes + nameBytes + archive.readUInt16LE(at + 30) + archive.readUInt16LE(at + 32);
    if (nextAt > end) throw damaged("its directory");
    entries.push(entryOf(archive, at, nameBytes, bytesMax));
    at = nextAt;
  }
  return entries;
}

function findEnd(archive: Buffer): number {
  const first = Math.max(0, archive.length - endBytes - commentBytesMax);
  for (let at = archive.length - endBytes; at >= first; at -= 1) {
    if (archive.readUInt32LE(at) === endSignature && at + endBytes + archive.readUInt16LE(at + 20) === archive.length)
      return at;
  }
  throw new ZipError("it is no zip archive");
}

function entryOf(archive: Buffer, at: number, nameBytes: number, bytesMax: number): ZipEntry {
  const name = archive.toString("utf8", at + entryBytes, at + entryBytes + nameBytes);
  const path = pathOf(name);
  const [packed, bytes, localAt] = [20, 24, 42].map((offset) => archive.readUInt32LE(at + offset)) as [
    number,
    number,
    number,
  ];
  if ([packed, bytes, localAt].includes(in64Bits)) throw new ZipError(`${path} has 64-bit sizes`);
  if (bytes > bytesMax) throw new ZipError(`${path} has ${bytes} bytes, allowed are ${bytesMax}`);
  if ((archive.readUInt16LE(at + 8) & encrypted) !== 0) throw new ZipError(`${path} is encrypted`);
  const method = archive.readUInt16LE(at + 10);
  if (method !== 0 && method !== 8) throw new ZipError(`${path} is packed by the method ${method}`);
  const sum = archive.readUInt32LE(at + 16);
  const mode = archive[at + 5] === unix ? archive.readUInt32LE(at + 38) >>> 16 : 0;
  return {
    path,
    kind: name.endsWith("/") ? "folder" : (mode & kindMask) === linkKind ? "link" : "file",
    isExecutable: (mode & 0o111) !== 0,
    bytes,
    read() {
      const content = unpack(archive, localAt, packed, bytes, method, path);
      if (content.length !== bytes || crc32(content) !== sum) throw damaged(path);
      return content;
    },
  };
}

function unpack(archive: Buffer, at: number, packed: number, bytes: number, method: number, path: string): Buffer {
  if (at + localBytes > archive.length || archive.readUInt32LE(at) !== localSignature) throw damaged(path);
  const start = at + localBytes + archive.readUInt16LE(at + 26) + archive.readUInt16LE(at + 28);
  const content = archive.subarray(start, start + packed);
  if (method === 0) return content;
  try {
    // One byte more than it says: an entry that unpacks to more is damaged, and costs no more memory.
    return inflateRawSync(content, { maxOutputLength: bytes + 1 });
  } catch {
    throw damaged(path);
  }
}

/** Throws where it would lead out of the folder that the archive is unpacked into. */
function pathOf(name: string): string {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  const isStrange = name.startsWith("/") || parts.includes("..") || /[\\\p{Cc}]/u.test(name) || parts.length === 0;
  if (isStrange) throw new ZipError(`it holds ${JSON.stringify(name.slice(0, 200))}, which is no path inside it`);
  return parts.join("/");
}

function damaged(what: string): ZipError {
  return new ZipError(`${what} is damaged`);
}

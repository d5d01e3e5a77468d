/**
 * The archive of a backup: a tar file of plain files (POSIX.1-1988 "ustar", sizes beyond 8 GiB as GNU and pax programs write
 * them), so that `tar` can list and unpack it. In this order:
 *
 *   aloft-backup.json    {"format":1,"aloft":VERSION,"createdAt":TIME,"contents":["files",...]}
 *   keyspace.db          the keyspace at one point in time
 *   FOLDER/.../HASH      contents, named by their sha256
 *   end.json             {"contents":NUMBER,"keyspace":SHA256}: the archive is whole
 *   error.json           in place of end.json: {"code","message"}, why it is not
 *
 * Reading accepts nothing else and says ARCHIVE_DAMAGED.
 */
import { AloftError } from "../contract/errors.ts";

export const archiveFormat = 1;
export const memberNames = {
  head: "aloft-backup.json",
  keyspace: "keyspace.db",
  end: "end.json",
  error: "error.json",
} as const;

const blockBytes = 512;
const plainFile = 0x30;
/** The names above and the paths of contents are far shorter. */
const nameBytesMax = 100;

export interface Member {
  readonly name: string;
  readonly bytes: number;
  /** To be read to its end before the next member is asked for. */
  readonly body: AsyncIterable<Uint8Array>;
}

export function memberHead(name: string, bytes: number): Uint8Array {
  const block = Buffer.alloc(blockBytes);
  if (Buffer.byteLength(name) > nameBytesMax) throw new RangeError(`${name} is too long for an archive`);
  block.write(name, 0);
  block.write("0000600\0", 100); // mode
  block.write("0000000\0", 108); // user
  block.write("0000000\0", 116); // group
  if (bytes < 8 ** 11) block.write(`${bytes.toString(8).padStart(11, "0")}\0`, 124);
  else {
    block[124] = 0x80; // the rest is the number itself, highest byte first
    block.writeBigUInt64BE(BigInt(bytes), 128);
  }
  block.write("00000000000\0", 136); // time: the archive of one state is always the same
  block[156] = plainFile;
  block.write("ustar\u000000", 257); // and version 00
  block.write(`${sumOf(block).toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

/** What follows a body of so many bytes. */
export function paddingOf(bytes: number): Uint8Array {
  return Buffer.alloc((blockBytes - (bytes % blockBytes)) % blockBytes);
}

/** Two empty blocks: the end of a tar file. */
export function archiveTail(): Uint8Array {
  return Buffer.alloc(2 * blockBytes);
}

/** Members as they come. Throws ARCHIVE_DAMAGED; an archive that is cut within a member is found by its body. */
export async function* readArchive(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Member> {
  const source = new ChunkSource(chunks);
  try {
    for (;;) {
      const block = await source.take(blockBytes);
      if (block.every((byte) => byte === 0)) {
        // So that whoever sends it can send all of it.
        await source.drain();
        return;
      }
      const { name, bytes } = parseHead(block);
      let left = bytes;
      async function* body(): AsyncGenerator<Uint8Array> {
        while (left > 0) {
          const part = await source.takeSome(left);
          left -= part.length;
          yield part;
        }
        left = -1;
        await source.take(paddingOf(bytes).length);
      }
      yield { name, bytes, body: body() };
      if (left !== -1) throw new Error(`the body of ${name} was not read`);
    }
  } finally {
    await source.close();
  }
}

/** A small member as JSON. Throws ARCHIVE_DAMAGED. */
export async function readJson({ name, bytes, body }: Member): Promise<Record<string, unknown>> {
  if (bytes > 64 * 1024) throw damaged(`${name} is too long`);
  const parts: Uint8Array[] = [];
  for await (const part of body) parts.push(part);
  try {
    const value: unknown = JSON.parse(Buffer.concat(parts).toString("utf8"));
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch {
    // said below
  }
  throw damaged(`${name} is not what it should be`);
}

export function damaged(what: string, cause?: unknown): AloftError {
  return new AloftError("ARCHIVE_DAMAGED", `the archive cannot be restored: ${what}`, {
    hint: "take another backup, or fetch the archive again",
    cause,
  });
}

function parseHead(block: Buffer): { name: string; bytes: number } {
  const sum = parseInt(block.toString("latin1", 148, 156), 8);
  if (sum !== sumOf(block)) throw damaged("a header does not have the checksum it was written with");
  if (block[156] !== plainFile) throw damaged("it has something else than plain files");
  const nameEnd = block.indexOf(0);
  const name = block.toString("utf8", 0, Math.min(nameEnd === -1 ? nameBytesMax : nameEnd, nameBytesMax));
  const isLarge = ((block[124] ?? 0) & 0x80) !== 0;
  const bytes = isLarge ? Number(block.readBigUInt64BE(128)) : parseInt(block.toString("latin1", 124, 136), 8);
  if (!Number.isSafeInteger(bytes) || bytes < 0) throw damaged(`the size of ${name} is not a number`);
  return { name, bytes };
}

/** Of all bytes, those of the sum itself counted as spaces. */
function sumOf(block: Buffer): number {
  let sum = 0;
  for (const [at, byte] of block.entries()) sum += at >= 148 && at < 156 ? 0x20 : byte;
  return sum;
}

class ChunkSource {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** At least one byte. */
  async takeSome(most: number): Promise<Buffer> {
    while (this.#rest.length === 0) {
      const { done, value } = await this.#chunks.next();
      if (done === true) throw damaged("it ends in the middle");
      this.#rest = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    }
    const part = this.#rest.subarray(0, most);
    this.#rest = this.#rest.subarray(part.length);
    return part;
  }

  async take(bytes: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (let left = bytes; left > 0;) {
      const part = await this.takeSome(left);
      parts.push(part);
      left -= part.length;
    }
    return Buffer.concat(parts);
  }

  async drain(): Promise<void> {
    for (let next = await this.#chunks.next(); next.done !== true; next = await this.#chunks.next());
  }

  async close(): Promise<void> {
    await this.#chunks.return?.();
  }
}

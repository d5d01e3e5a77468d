/**
 * Reads a tar archive entry by entry in bounded memory: no entry's content, nor an extended header beyond a bound, is
 * ever held whole. What the entries mean (where a path leads, what may be written) is the caller's to judge.
 */
import { type ByteSource, takeExactly } from "./byte-source.ts";
import { mergePaxRecords, noPaxRecords, parsePaxRecords, sparseNoteOf, type PaxRecords } from "./pax-records.ts";
import { blockBytes, decodeText, hasData, numberAt, parseTarHeader, TarError } from "./tar-header.ts";
import type { TarHeader, TarKind } from "./tar-header.ts";
import { assertParts, parseDecimal, partsInBlock, readDataMap, sparsePartsMax, type SparsePart } from "./tar-sparse.ts";

export { TarError } from "./tar-header.ts";

export interface TarEntry {
  /** Never one of the kinds that only speak of others. */
  readonly kind: Exclude<TarKind, "pax" | "pax global" | "gnu path" | "gnu link">;
  /** As written: it may be absolute, end with a slash or hold `..`. */
  readonly path: string;
  readonly linkPath: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeS: number;
  /** Size of the file, its holes included. */
  readonly bytes: number;
  /** Where its content lies in the archive; null when that has holes. */
  readonly offset: number | null;
}

export interface TarPiece {
  /** Where in the file; zeros are before it if it does not follow the one before. */
  readonly offset: number;
  readonly bytes: Buffer;
}

/** Names and attributes of one entry; GNU tar and Go take as much. */
const extensionBytesMax = 1024 * 1024;
const pieceBytes = 256 * 1024;

export class TarReader {
  readonly #source: ByteSource;
  #global: PaxRecords = noPaxRecords;
  #parts: readonly SparsePart[] = [];
  /** Of the current entry: not read yet, padding included. */
  #unreadBytes = 0;
  #paddingBytes = 0;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  /** Passes over what is left of the entry before. null: the archive has ended. Throws TarError. */
  async next(): Promise<TarEntry | null> {
    await this.#skip(this.#unreadBytes + this.#paddingBytes);
    this.#unreadBytes = 0;
    this.#paddingBytes = 0;
    this.#parts = [];
    let own = noPaxRecords;
    let gnuPath: string | null = null;
    let gnuLink: string | null = null;
    for (;;) {
      const block = await takeExactly(this.#source, blockBytes);
      if (block.length === 0) return this.#endWith(own !== noPaxRecords || gnuPath !== null || gnuLink !== null);
      if (block.length < blockBytes) throw new TarError("ends in the middle of a header");
      const header = parseTarHeader(block);
      if (header === null) return this.#endWith(own !== noPaxRecords || gnuPath !== null || gnuLink !== null);
      switch (header.kind) {
        case "pax":
          own = parsePaxRecords(await this.#extension(header));
          break;
        case "pax global":
          this.#global = parsePaxRecords(await this.#extension(header));
          break;
        case "gnu path":
          gnuPath = longName(await this.#extension(header));
          break;
        case "gnu link":
          gnuLink = longName(await this.#extension(header));
          break;
        default:
          return await this.#entry(
            block,
            { ...header, kind: header.kind },
            {
              pax: mergePaxRecords(this.#global, own),
              gnuPath,
              gnuLink,
            },
          );
      }
    }
  }

  /** Of the entry that `next` gave last; at most once. */
  async *content(): AsyncGenerator<TarPiece> {
    for (const { offset, bytes } of this.#parts) {
      for (let done = 0; done < bytes;) {
        const piece = await this.#source.take(Math.min(bytes - done, pieceBytes));
        if (piece === null) throw new TarError("ends in the middle of a file");
        this.#unreadBytes -= piece.length;
        yield { offset: offset + done, bytes: piece };
        done += piece.length;
      }
    }
  }

  async #entry(
    block: Buffer,
    header: TarHeader & { readonly kind: TarEntry["kind"] },
    said: { readonly pax: PaxRecords; readonly gnuPath: string | null; readonly gnuLink: string | null },
  ): Promise<TarEntry> {
    const { values } = said.pax;
    const number = (key: string, otherwise: number): number => {
      const value = values.get(key) ?? "";
      return value === "" ? otherwise : parseDecimal(value);
    };
    const text = (key: string, gnu: string | null, otherwise: string): string => {
      const value = values.get(key) ?? "";
      return value === "" ? (gnu ?? otherwise) : value;
    };
    const { kind } = header;
    const storedBytes = hasData(kind) ? number("size", header.dataBytes) : 0;
    if (!Number.isSafeInteger(storedBytes) || storedBytes < 0) throw new TarError("has an entry of impossible size");
    this.#unreadBytes = storedBytes;
    this.#paddingBytes = paddingOf(storedBytes);
    const note = kind === "file" ? sparseNoteOf(said.pax) : null;
    const bytes = await this.#findParts(block, header, storedBytes, note);
    return {
      kind,
      path: note?.path ?? text("path", said.gnuPath, header.path),
      linkPath: text("linkpath", said.gnuLink, header.linkPath),
      mode: header.mode,
      uid: number("uid", header.uid),
      gid: number("gid", header.gid),
      mtimeS: timeOf(values.get("mtime") ?? "") ?? header.mtimeS,
      bytes,
      offset: header.isOldSparse || note !== null ? null : this.#source.position,
    };
  }

  /** Sets where the data lies and returns the size of the file. */
  async #findParts(
    block: Buffer,
    header: TarHeader,
    storedBytes: number,
    note: ReturnType<typeof sparseNoteOf>,
  ): Promise<number> {
    if (header.isOldSparse) {
      const bytes = numberAt(block, 483, 12, "size");
      this.#parts = await this.#oldParts(block);
      assertParts(this.#parts, bytes, storedBytes);
      return bytes;
    }
    if (note === null) {
      this.#parts = [{ offset: 0, bytes: storedBytes }];
      return storedBytes;
    }
    if (note.parts !== null) this.#parts = note.parts;
    else {
      const map = await readDataMap(() => this.#block());
      if (map.bytes > storedBytes) throw new TarError("has a bad list of holes");
      this.#unreadBytes -= map.bytes;
      this.#parts = map.parts;
    }
    assertParts(this.#parts, note.bytes, this.#unreadBytes);
    return note.bytes;
  }

  async #oldParts(block: Buffer): Promise<SparsePart[]> {
    const parts = partsInBlock(block, 386, 4);
    for (let more = block[482] !== 0; more;) {
      const next = await this.#block();
      parts.push(...partsInBlock(next, 0, 21));
      if (parts.length > sparsePartsMax) throw new TarError("has a list of too many holes");
      more = next[504] !== 0;
    }
    return parts;
  }

  async #extension({ dataBytes }: TarHeader): Promise<Buffer> {
    if (dataBytes > extensionBytesMax) {
      throw new TarError(`has an extended header of ${dataBytes} bytes, allowed are ${extensionBytesMax}`);
    }
    const bytes = await takeExactly(this.#source, dataBytes);
    if (bytes.length < dataBytes) throw new TarError("ends in the middle of an extended header");
    await this.#skip(paddingOf(dataBytes));
    return bytes;
  }

  async #block(): Promise<Buffer> {
    const block = await takeExactly(this.#source, blockBytes);
    if (block.length < blockBytes) throw new TarError("ends in the middle of a list of holes");
    return block;
  }

  async #skip(bytes: number): Promise<void> {
    if (bytes > 0 && !(await this.#source.skip(bytes))) throw new TarError("ends in the middle of a file");
  }

  #endWith(isUnfinished: boolean): null {
    if (isUnfinished) throw new TarError("ends after an extended header");
    return null;
  }
}

function paddingOf(bytes: number): number {
  return (blockBytes - (bytes % blockBytes)) % blockBytes;
}

function longName(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return decodeText(end < 0 ? bytes : bytes.subarray(0, end));
}

/** Times have fractions, and those before 1970 a sign. null: none is said. */
function timeOf(text: string): number | null {
  if (text === "") return null;
  const match = /^(-?)(\d+)(?:\.\d*)?$/.exec(text);
  if (match?.[2] === undefined) throw new TarError(`has a time that is none: ${JSON.stringify(text.slice(0, 40))}`);
  return match[1] === "-" ? 0 : parseDecimal(match[2]);
}

/** Writes tar archives for tests: well-formed ones, and every kind of bad one, since nothing is checked. */

export interface WrittenEntry {
  readonly path: string;
  /** The type flag; "0" unless told. */
  readonly flag?: string;
  readonly content?: Buffer | string;
  readonly linkPath?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtimeS?: number;
  /** Said in the header instead of the content's own size. */
  readonly size?: number;
  /** Records of an extended header in front. */
  readonly pax?: Readonly<Record<string, string>> | readonly (readonly [string, string])[];
  /** Instead of "ustar\0" and "00". */
  readonly magic?: string;
  /** Last chance to spoil the header before its checksum is made. */
  readonly spoil?: (header: Buffer) => void;
}

export function writeTar(entries: readonly WrittenEntry[], { end = true }: { readonly end?: boolean } = {}): Buffer {
  return Buffer.concat([...entries.flatMap(partsOf), ...(end ? [Buffer.alloc(1024)] : [])]);
}

export function folder(path: string, more: Partial<WrittenEntry> = {}): WrittenEntry {
  return { path, flag: "5", mode: 0o755, ...more };
}

export function file(path: string, content: Buffer | string = "", more: Partial<WrittenEntry> = {}): WrittenEntry {
  return { path, content, ...more };
}

export function symlink(path: string, linkPath: string, more: Partial<WrittenEntry> = {}): WrittenEntry {
  return { path, linkPath, flag: "2", mode: 0o777, ...more };
}

export function hardLink(path: string, linkPath: string, more: Partial<WrittenEntry> = {}): WrittenEntry {
  return { path, linkPath, flag: "1", ...more };
}

function partsOf(entry: WrittenEntry): Buffer[] {
  const content = Buffer.from(entry.content ?? "");
  const parts: Buffer[] = [];
  if (entry.pax !== undefined) parts.push(...partsOf({ path: "PaxHeader", flag: "x", content: paxText(entry.pax) }));
  parts.push(headerOf(entry, content.length), content, Buffer.alloc((512 - (content.length % 512)) % 512));
  return parts;
}

function headerOf(entry: WrittenEntry, contentBytes: number): Buffer {
  const header = Buffer.alloc(512);
  header.write(entry.path.slice(0, 100), 0);
  writeNumber(header, 100, 8, entry.mode ?? 0o644);
  writeNumber(header, 108, 8, entry.uid ?? 0);
  writeNumber(header, 116, 8, entry.gid ?? 0);
  writeNumber(header, 124, 12, entry.size ?? contentBytes);
  writeNumber(header, 136, 12, entry.mtimeS ?? 1_700_000_000);
  header.write(entry.flag ?? "0", 156, "latin1");
  header.write((entry.linkPath ?? "").slice(0, 100), 157);
  header.write(entry.magic ?? "ustar\x0000", 257, "latin1");
  entry.spoil?.(header);
  header.fill(0x20, 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return header;
}

/** Octal where it fits, else binary as GNU does. */
function writeNumber(header: Buffer, at: number, bytes: number, value: number): void {
  const octal = value.toString(8);
  if (octal.length < bytes) {
    header.write(`${octal.padStart(bytes - 1, "0")}\0`, at, "latin1");
    return;
  }
  let rest = value;
  for (let index = at + bytes - 1; index > at; index--) {
    header[index] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  header[at] = 0x80;
}

function paxText(records: NonNullable<WrittenEntry["pax"]>): Buffer {
  const list = Array.isArray(records) ? records : Object.entries(records as Record<string, string>);
  const lines = (list as readonly (readonly [string, string])[]).map(([key, value]) => {
    const rest = ` ${key}=${value}\n`;
    const restBytes = Buffer.byteLength(rest);
    let length = restBytes + String(restBytes).length;
    if (restBytes + String(length).length !== length) length = restBytes + String(length).length;
    return `${length}${rest}`;
  });
  return Buffer.from(lines.join(""));
}

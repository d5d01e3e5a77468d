/** Writes zip archives for tests, byte by byte, so that they can be wrong. */
import { crc32, deflateRawSync } from "node:zlib";

export interface WrittenZipEntry {
  readonly path: string;
  readonly content?: string | Buffer;
  /** With the kind of file in it; 0: made where there are no modes. */
  readonly mode?: number;
  readonly isStored?: boolean;
  readonly flags?: number;
  readonly method?: number;
  /** Instead of the right ones. */
  readonly crc?: number;
  readonly bytes?: number;
}

export function writeZip(entries: readonly WrittenZipEntry[]): Buffer {
  const locals: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const entry of entries) {
    const { path, content = "", mode = 0o100644, isStored = false, flags = 0 } = entry;
    const name = Buffer.from(path);
    const plain = Buffer.from(content);
    const packed = isStored ? plain : deflateRawSync(plain);
    const method = entry.method ?? (isStored ? 0 : 8);
    const sum = entry.crc ?? crc32(plain);
    const bytes = entry.bytes ?? plain.length;
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(name.length, 26);
    const head = Buffer.alloc(46);
    head.writeUInt32LE(0x02014b50, 0);
    head[5] = mode === 0 ? 0 : 3;
    head.writeUInt16LE(flags, 8);
    head.writeUInt16LE(method, 10);
    head.writeUInt32LE(sum, 16);
    head.writeUInt32LE(packed.length, 20);
    head.writeUInt32LE(bytes, 24);
    head.writeUInt16LE(name.length, 28);
    head.writeUInt32LE((mode << 16) >>> 0, 38);
    head.writeUInt32LE(offset, 42);
    locals.push(local, name, packed);
    directory.push(head, name);
    offset += local.length + name.length + packed.length;
  }
  const index = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(index.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...locals, index, end]);
}

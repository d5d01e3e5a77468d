/**
 * Writes of rows packed into values, for batches that are too large for one commit of the keyspace. One after the other:
 * u16 bytes of the key, u32 bytes of the value plus one (0: the row is deleted), key, value.
 */
export interface RowWrite {
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
}

/** Of one commit, and of one packed value. Far below the keyspace's limits, so that no commit makes others wait for long. */
const writesMax = 1000;
const bytesMax = 512 * 1024;
const headBytes = 6;

export function isSmall(writes: readonly RowWrite[]): boolean {
  return writes.length <= writesMax && writes.reduce((sum, write) => sum + bytesOf(write), 0) <= bytesMax;
}

/** Each value can be moved to the rows by one commit. */
export function encodeWrites(writes: readonly RowWrite[]): Uint8Array[] {
  const packs: Uint8Array[] = [];
  let pieces: Uint8Array[] = [];
  let bytes = 0;
  let count = 0;
  for (const write of writes) {
    if (count === writesMax || bytes + bytesOf(write) > bytesMax) {
      packs.push(Buffer.concat(pieces));
      pieces = [];
      bytes = count = 0;
    }
    const head = Buffer.alloc(headBytes);
    head.writeUInt16LE(write.key.length);
    head.writeUInt32LE(write.value === null ? 0 : write.value.length + 1, 2);
    pieces.push(head, write.key, ...(write.value === null ? [] : [write.value]));
    bytes += bytesOf(write);
    count += 1;
  }
  packs.push(Buffer.concat(pieces));
  return packs;
}

export function decodeWrites(pack: Uint8Array): RowWrite[] {
  const view = new DataView(pack.buffer, pack.byteOffset, pack.byteLength);
  const writes: RowWrite[] = [];
  for (let at = 0; at < pack.length;) {
    const keyEnd = at + headBytes + view.getUint16(at, true);
    const valueBytes = view.getUint32(at + 2, true) - 1;
    const key = pack.slice(at + headBytes, keyEnd);
    writes.push({ key, value: valueBytes < 0 ? null : pack.slice(keyEnd, keyEnd + valueBytes) });
    at = keyEnd + Math.max(0, valueBytes);
  }
  return writes;
}

function bytesOf({ key, value }: RowWrite): number {
  return headBytes + key.length + (value?.length ?? 0);
}

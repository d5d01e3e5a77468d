/**
 * 32 bits from a text: FNV-1a over its UTF-16 code units, then the finalizer of MurmurHash3, so that every bit depends on all
 * of them. Not for secrets. It must never change: keys of streams are placed by it.
 */
export function textHash(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

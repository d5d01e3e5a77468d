/** Whether a browser saves what it gets, and under which name (RFC 6266). */
import type { DownloadLink } from "../../contract/blob-links.ts";

export function contentDisposition({ disposition, filename, key }: DownloadLink): string {
  const name = filename ?? (key.slice(key.lastIndexOf("/") + 1).replaceAll(/[\p{Cc}\\]/gu, "_") || "download");
  // For old readers; what they cannot spell stands beside it (RFC 8187).
  const plain = name.replaceAll(/[^\x20-\x7e]|["\\%]/g, "_");
  if (plain === name) return `${disposition}; filename="${plain}"`;
  const encoded = encodeURIComponent(name).replaceAll(/['()*]/g, (one) => `%${one.charCodeAt(0).toString(16)}`);
  return `${disposition}; filename="${plain}"; filename*=UTF-8''${encoded}`;
}

/** What the names in a layer mean: a place below the image's root, or the mark of something that is no longer there. */

export type LayerPath =
  /** "": the root itself. No `.`, no `..`, no slash at either end. */
  | { readonly kind: "place"; readonly path: string }
  /** What a lower layer has at this path is gone. */
  | { readonly kind: "whiteout"; readonly path: string }
  /** What lower layers have in this folder is gone. */
  | { readonly kind: "opaque"; readonly path: string }
  /** Book-keeping of the file system that made the layer (aufs). */
  | { readonly kind: "ignored" }
  | { readonly kind: "refused"; readonly reason: string };

const whiteoutPrefix = ".wh.";
const opaqueName = ".wh..wh..opq";
const metaPrefix = ".wh..wh.";
/** Below the kernel's 4,096, with room for the folder it is put into. */
const pathBytesMax = 3072;
const partBytesMax = 255;

export function readLayerPath(name: string): LayerPath {
  if (name.includes("\0")) return refused("holds a zero byte");
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) return refused('holds ".."');
  if (Buffer.byteLength(name) > pathBytesMax) return refused(`is longer than ${pathBytesMax} bytes`);
  if (parts.some((part) => Buffer.byteLength(part) > partBytesMax)) {
    return refused(`has a part longer than ${partBytesMax} bytes`);
  }
  const last = parts.at(-1) ?? "";
  const above = parts.slice(0, -1);
  if (above.some((part) => part.startsWith(metaPrefix))) return { kind: "ignored" };
  if (above.some((part) => part.startsWith(whiteoutPrefix))) return refused("has a whiteout for a folder");
  if (last === opaqueName) return { kind: "opaque", path: above.join("/") };
  if (last.startsWith(metaPrefix)) return { kind: "ignored" };
  if (!last.startsWith(whiteoutPrefix)) return { kind: "place", path: parts.join("/") };
  const hidden = last.slice(whiteoutPrefix.length);
  if (hidden === "" || hidden === "." || hidden === "..") return refused("is a whiteout of a folder that must stay");
  return { kind: "whiteout", path: [...above, hidden].join("/") };
}

/** Every folder above, the outermost first. */
export function foldersAbove(path: string): string[] {
  const folders: string[] = [];
  for (let slash = path.indexOf("/"); slash >= 0; slash = path.indexOf("/", slash + 1))
    folders.push(path.slice(0, slash));
  return folders;
}

function refused(reason: string): LayerPath {
  return { kind: "refused", reason };
}

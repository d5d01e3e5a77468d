/** What a program finds of its layers: the folder /opt and AWS's variables that lead into it. */
import { realpathSync } from "node:fs";
import { join } from "node:path";
import { layersFolder } from "../../src/wire/messages.ts";

/**
 * Where they are; null: the deployment has none. In a container /opt is a link to them. Under the `process` driver it is the
 * host's own, and they are where they lie.
 */
export function findLayers(root: string): string | null {
  const own = pathOf(join(root, layersFolder));
  if (own === null) return null;
  return pathOf("/opt") === own ? "/opt" : own;
}

function pathOf(path: string): string | null {
  try {
    return realpathSync(path);
  } catch {
    return null;
  }
}

/** `path`: what PATH is without them. */
export function layerEnvironment(root: string, path: string): Record<string, string> {
  const layers = findLayers(root);
  if (layers === null) return { PATH: path };
  const major = process.versions.node.split(".")[0];
  return {
    PATH: `${path}:${layers}/bin`,
    LD_LIBRARY_PATH: `${root}:${root}/lib:${layers}/lib`,
    NODE_PATH: `${layers}/nodejs/node${major}/node_modules:${layers}/nodejs/node_modules`,
    PYTHONPATH: `${layers}/python`,
  };
}

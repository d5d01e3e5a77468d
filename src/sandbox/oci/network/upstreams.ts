/** The resolvers that this host itself asks: those of the setting, else of /etc/resolv.conf as it is now. */
import { readFileSync, statSync } from "node:fs";
import { isIP } from "node:net";

export interface Upstream {
  readonly address: string;
  readonly port: number;
}

const file = "/etc/resolv.conf";
/** As the C library has it. */
const upstreamsMax = 3;

export function upstreamsOf(given: Upstream | null): () => readonly Upstream[] {
  if (given !== null) return () => [given];
  let changedAtMs = -1;
  let found: readonly Upstream[] = [];
  return () => {
    try {
      const { mtimeMs } = statSync(file);
      if (mtimeMs !== changedAtMs) found = parseResolvConf(readFileSync(file, "utf8"));
      changedAtMs = mtimeMs;
    } catch {
      // It is being replaced, or is not there: what was known holds.
    }
    return found;
  };
}

export function parseResolvConf(text: string): readonly Upstream[] {
  const addresses = [...text.matchAll(/^[ \t]*nameserver[ \t]+([^\s#;]+)/gm)].map(([, address = ""]) => address);
  return addresses
    .filter((address) => isIP(address.replace(/%.*$/, "")) !== 0)
    .slice(0, upstreamsMax)
    .map((address) => ({ address, port: 53 }));
}

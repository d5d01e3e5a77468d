/** Which driver a server uses: the one asked for; `auto` is `oci` where it works and functions are to be served in earnest. */
import { join } from "node:path";
import { AloftError } from "../contract/errors.ts";
import type { Sandbox } from "../contract/sandbox.ts";
import type { Clock } from "../lib/clock.ts";
import type { AddressRange } from "../lib/ipv4.ts";
import { findRuntime } from "./oci/find-runtime.ts";
import type { HostIdRange } from "./oci/host-ids.ts";
import { endLeftovers } from "./oci/leftovers.ts";
import { releaseHostSide } from "./oci/network/host-side.ts";
import { openNetwork } from "./oci/network/network.ts";
import type { Upstream } from "./oci/network/upstreams.ts";
import { openOciSandbox, runFolderOf } from "./oci/oci-sandbox.ts";
import { raiseServer } from "./oci/server-priority.ts";
import { openProcessSandbox } from "./process/process-sandbox.ts";

export interface OpenSandboxOptions {
  /** `auto`: `oci`, and `process` with a warning where that does not work. */
  readonly wanted: "auto" | "oci" | "process";
  /** What `oci` instances may reach at the most. */
  readonly network: "internet" | "none";
  readonly subnet: AddressRange;
  readonly resolver: Upstream | null;
  readonly ids: HostIdRange;
  /** For what belongs to running instances. */
  readonly folder: string;
  readonly clock: Clock;
  readonly onWarning: (message: string) => void;
}

/** Ends what either driver left behind in this folder. Throws SANDBOX_UNAVAILABLE. */
export async function openSandbox(options: OpenSandboxOptions): Promise<Sandbox> {
  const { folder, wanted } = options;
  const containers = join(folder, "containers");
  endLeftovers(runFolderOf(containers), containers);
  releaseHostSide(networkFolderOf(folder));
  const plain = openProcessSandbox({ folder: join(folder, "instances") });
  if (wanted === "process") return plain;
  try {
    const walled = await openWalled(options);
    await plain.close();
    return walled;
  } catch (error) {
    const isMissing = error instanceof AloftError && error.code === "SANDBOX_UNAVAILABLE";
    if (wanted === "oci" || !isMissing) throw error;
    options.onWarning(`functions run as plain processes, without a wall around them: ${error.message}`);
    if (error.hint !== undefined) options.onWarning(`for a wall: ${error.hint}`);
    return plain;
  }
}

async function openWalled({ folder, ids, clock, ...options }: OpenSandboxOptions): Promise<Sandbox> {
  const { subnet, resolver } = options;
  const runFolder = networkFolderOf(folder);
  const network = options.network === "none" ? null : await openNetwork({ runFolder, subnet, resolver, clock });
  try {
    const { runtime, cgroups } = await findRuntime({ folder, ids, clock, network });
    raiseServer();
    const sandbox = openOciSandbox({ runtime, cgroups, folder: join(folder, "containers"), ids, clock, network });
    return {
      ...sandbox,
      async close() {
        await sandbox.close();
        await network?.close();
      },
    };
  } catch (error) {
    await network?.close();
    throw error;
  }
}

/** Where a server with this folder notes what it changes of the host's network. */
export function networkFolderOf(folder: string): string {
  return runFolderOf(join(folder, "network"));
}

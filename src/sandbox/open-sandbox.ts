/** Which driver a server uses: the one asked for; `auto` is `process` until `oci` gives functions a way to the network. */
import { join } from "node:path";
import { AloftError } from "../contract/errors.ts";
import type { Sandbox } from "../contract/sandbox.ts";
import type { Clock } from "../lib/clock.ts";
import { findRuntime } from "./oci/find-runtime.ts";
import type { HostIdRange } from "./oci/host-ids.ts";
import { endLeftovers } from "./oci/leftovers.ts";
import { openOciSandbox, runFolderOf } from "./oci/oci-sandbox.ts";
import { openProcessSandbox } from "./process/process-sandbox.ts";

export interface OpenSandboxOptions {
  readonly wanted: "auto" | "oci" | "process";
  /** What `oci` instances may reach. */
  readonly network: "internet" | "none";
  readonly ids: HostIdRange;
  /** For what belongs to running instances. */
  readonly folder: string;
  readonly clock: Clock;
}

/** Ends what either driver left behind in this folder. Throws SANDBOX_UNAVAILABLE. */
export async function openSandbox(options: OpenSandboxOptions): Promise<Sandbox> {
  const { folder, ids, clock } = options;
  const processes = join(folder, "instances");
  const containers = join(folder, "containers");
  endLeftovers(runFolderOf(containers), containers);
  const plain = openProcessSandbox({ folder: processes });
  if (options.wanted !== "oci") return plain;
  await plain.close();
  if (options.network !== "none") {
    throw new AloftError("SANDBOX_UNAVAILABLE", "the oci sandbox gives functions no way to the network yet", {
      hint: "start with --sandbox-network none when they need none, or with --sandbox process, which has no wall",
    });
  }
  const { runtime, cgroups } = await findRuntime({ folder, ids, clock });
  return openOciSandbox({ runtime, cgroups, folder: containers, ids, clock });
}

/** The drivers as tests open them: the oci one with the runtime that works here, looked for once in a process. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Sandbox } from "../contract/sandbox.ts";
import { systemClock } from "../lib/clock.ts";
import { findRuntime, type FoundRuntime } from "./oci/find-runtime.ts";
import { openOciSandbox, type OciSandboxOptions } from "./oci/oci-sandbox.ts";
import { openProcessSandbox } from "./process/process-sandbox.ts";

/** Apart from what a server on this machine uses. */
const ids = { first: 1_900_000_000, count: 65_536 } as const;

let found: Promise<FoundRuntime> | null = null;

/** Throws SANDBOX_UNAVAILABLE where oci does not work. */
export async function openForTest(
  kind: "process" | "oci",
  folder: string,
  more: Pick<OciSandboxOptions, "imageMode"> = {},
): Promise<Sandbox> {
  if (kind === "process") return openProcessSandbox({ folder });
  found ??= find();
  return openOciSandbox({ ...(await found), folder, ids, clock: systemClock, network: null, ...more });
}

/** null where oci works, else why it does not: for skipping with a reason. */
export async function ociMissing(): Promise<string | null> {
  found ??= find();
  return await found.then(
    () => null,
    (error: Error) => error.message,
  );
}

async function find(): Promise<FoundRuntime> {
  const folder = mkdtempSync(join(tmpdir(), "aloft-probe-"));
  try {
    return await findRuntime({ folder, ids, clock: systemClock, network: null });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

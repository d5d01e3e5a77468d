/**
 * What a cold start in a container is compared with: a plain `runc run`, with the bundle that `runc spec` writes, of a Node
 * that touches its web classes and prints a byte. Without user namespace, filter of system calls and cgroup limits.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const runs = 20;
const folders = ["/usr", "/lib", "/lib64"].filter(existsSync).map((path) => ({ source: path, destination: path }));
const touching = `new Request("http://a/"); new Response("b"); typeof fetch; process.stdout.write("x")`;

/** From starting the program to its first byte, microseconds each. */
export async function plainRuncUs(): Promise<number[]> {
  const bundle = await mkdtemp(join(tmpdir(), "aloft-bench-runc-"));
  try {
    const { status } = spawnSync("runc", ["spec", "--bundle", bundle]);
    if (status !== 0) throw new Error("runc is not installed, or does not work");
    const file = join(bundle, "config.json");
    const spec = JSON.parse(await readFile(file, "utf8")) as Record<string, unknown>;
    const program = { ...(spec["process"] as object), terminal: false, args: ["/node", "-e", touching] };
    // On hosts with hybrid cgroups runc 1.1 cannot mount them inside.
    const mounts = (spec["mounts"] as { type: string }[]).filter(({ type }) => type !== "cgroup");
    const root = join(bundle, "rootfs");
    await mkdir(root);
    const bound = [{ source: process.execPath, destination: "/node" }, ...folders];
    const binds = bound.map((each) => ({ ...each, type: "bind", options: ["rbind", "ro"] }));
    await writeFile(
      file,
      JSON.stringify({
        ...spec,
        root: { path: root, readonly: true },
        process: program,
        mounts: [...mounts, ...binds],
      }),
    );
    const found: number[] = [];
    for (let run = 0; run < runs; run += 1) found.push(await oneRun(bundle, `aloft-bench-${process.pid}-${run}`));
    return found;
  } finally {
    await rm(bundle, { recursive: true, force: true });
  }
}

async function oneRun(bundle: string, name: string): Promise<number> {
  const startedMs = performance.now();
  const child = spawn("runc", ["run", "--bundle", bundle, name], { stdio: ["ignore", "pipe", "pipe"] });
  let complaint = "";
  child.stderr.on("data", (chunk: Buffer) => (complaint += chunk.toString()));
  const closed = once(child, "close");
  const [byte] = (await Promise.race([once(child.stdout, "data"), closed])) as [unknown];
  const us = (performance.now() - startedMs) * 1000;
  await closed;
  if (!Buffer.isBuffer(byte)) throw new Error(`runc run ended without a byte: ${complaint.slice(0, 500)}`);
  return us;
}

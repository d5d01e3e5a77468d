/** Private Redis and Postgres servers for the peers of `queue`: temporary folders, loopback, gone with the benchmark. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { chmod, chown, mkdtemp, rm } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { freePort, startServer } from "./lib/server-process.ts";

export interface PeerServer {
  /** What the peer's program is told to connect to. */
  readonly connection: string;
  stop(): Promise<void>;
}

/** null: not installed. */
export type StartPeerServer = (() => Promise<PeerServer>) | null;

/** `fsync`: `appendfsync always`, so that what is acknowledged is on the disk; else the default of the append-only file. */
export function redis(fsync: "always" | "everysec"): StartPeerServer {
  const program = inPath("redis-server");
  if (program === null) return null;
  return async () => {
    const folder = await mkdtemp(join(tmpdir(), "aloft-bench-redis-"));
    const port = await freePort();
    const argv = [program, "--port", String(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""];
    const server = await startServer({ argv: [...argv, "--appendonly", "yes", "--appendfsync", fsync], port });
    return { connection: String(port), stop: () => stopAndRemove(server, folder) };
  };
}

/** As the user postgres where we are root, for it refuses to run as root. */
export function postgres(): StartPeerServer {
  const bin = postgresBin();
  if (bin === null) return null;
  return async () => {
    const folder = await mkdtemp(join(tmpdir(), "aloft-bench-postgres-"));
    await chmod(folder, 0o700);
    const port = await freePort();
    const asUser = await userFor(folder);
    const data = join(folder, "data");
    run([...asUser, join(bin, "initdb"), "-D", data, "-U", "bench", "-A", "trust", "--no-sync"]);
    const settings = ["-c", "max_connections=100", "-c", "shared_buffers=256MB", "-c", "max_wal_size=4GB"];
    const listen = ["-c", "listen_addresses=127.0.0.1", "-p", String(port), "-k", folder];
    const argv = [...asUser, join(bin, "postgres"), "-D", data, ...listen, ...settings];
    const server = await startServer({ argv, port, cwd: "/" });
    // The port opens before it takes queries.
    const psql = [
      join(bin, "psql"),
      "-h",
      "127.0.0.1",
      "-p",
      String(port),
      "-U",
      "bench",
      "-d",
      "postgres",
      "-c",
      "select 1",
    ];
    while (spawnSync(psql[0] ?? "", psql.slice(1)).status !== 0)
      await new Promise((resolve) => setTimeout(resolve, 50));
    return {
      connection: `postgres://bench@127.0.0.1:${port}/postgres`,
      stop: () => stopAndRemove(server, folder),
    };
  };
}

async function stopAndRemove(server: { stop(): Promise<void> }, folder: string): Promise<void> {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
}

function inPath(name: string): string | null {
  const folders = `${process.env["PATH"] ?? ""}:/usr/sbin:/usr/bin`.split(":");
  return folders.map((folder) => join(folder, name)).find((file) => existsSync(file)) ?? null;
}

function postgresBin(): string | null {
  const versions = "/usr/lib/postgresql";
  if (!existsSync(versions)) return null;
  const newest = readdirSync(versions).toSorted((a, b) => Number(b) - Number(a))[0];
  return newest === undefined ? null : join(versions, newest, "bin");
}

async function userFor(folder: string): Promise<string[]> {
  if (userInfo().uid !== 0) return [];
  const [uid, gid] = [idOf("-u"), idOf("-g")];
  await chown(folder, uid, gid);
  return ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups"];
}

function idOf(flag: "-u" | "-g"): number {
  const { stdout } = spawnSync("id", [flag, "postgres"], { encoding: "utf8" });
  return Number(stdout);
}

function run([program = "", ...args]: readonly string[]): void {
  const { status, stderr } = spawnSync(program, args, { encoding: "utf8", cwd: "/" });
  if (status !== 0) throw new Error(`${program} failed: ${stderr}`);
}

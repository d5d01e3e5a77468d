/**
 * A world of its own for tests of the network: two network namespaces, a host and what is outside of it. The test runs in
 * the host, where addresses that must not be reached are answered by the outside, so that a wall with a hole shows.
 *
 *     if (isInWorld) suite(...); else runInWorld(import.meta.filename);
 *
 * The host is 203.0.113.1, with the outside as its only way; it sees its own /sys and /run/netns. Nothing real is contacted.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const hostAddress = "203.0.113.1";
export const outside = {
  web: "203.0.113.10",
  api: "203.0.113.11",
  resolver: "203.0.113.53",
  /** What no function may reach unless its app lists it. */
  private: ["10.20.30.40", "172.16.9.9", "192.168.9.9", "100.64.9.9"],
  /** What none may reach at all. */
  forbidden: ["169.254.169.254", "168.63.129.16"],
  ipv6: ["fd00:ec2::254", "2001:db8::10"],
} as const;

const worldVariable = "ALOFT_TEST_WORLD";
export const isInWorld = process.env[worldVariable] !== undefined;

const environment = { ...process.env, PATH: `/usr/sbin:/sbin:${process.env["PATH"]}` };

/** null when a world can be made here, else why not. */
export function worldMissing(): string | null {
  if (process.platform !== "linux" || process.geteuid?.() !== 0) return "a network of its own needs Linux and root";
  for (const program of ["ip", "nft", "nsenter", "unshare"]) {
    if (spawnSync(program, ["--version"], { env: environment }).status === null) return `there is no ${program}`;
  }
  return null;
}

/** Runs the test file again, inside; its results become those of this process. */
export async function runInWorld(file: string): Promise<void> {
  const [host, out] = [`at${process.pid}h`, `at${process.pid}o`];
  const folder = mkdtempSync(join(tmpdir(), "aloft-world-"));
  try {
    makeNamespaces(host, out);
    const answering = spawn("nsenter", [`--net=/run/netns/${out}`, process.execPath, outsideProgram], {
      env: environment,
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(answering.stdout, "data");
    const entering = [
      `--net=/run/netns/${host}`,
      "unshare",
      "--mount",
      "/bin/sh",
      "-ec",
      ownViews,
      "sh",
      folder,
      outside.resolver,
    ];
    const inside = spawn("nsenter", [...entering, process.execPath, file], {
      env: { ...environment, [worldVariable]: host },
      stdio: "inherit",
    });
    // So that what was made here goes, whoever ends the test.
    process.once("SIGTERM", () => inside.kill());
    const [code] = (await once(inside, "exit")) as [number | null];
    process.exitCode = code ?? 1;
    answering.kill("SIGKILL");
  } finally {
    ip(`link del ${host}\nnetns del ${host}\nnetns del ${out}\n`, "-force");
    rmSync(folder, { recursive: true, force: true });
  }
}

const outsideProgram = join(import.meta.dirname, "outside-world.child.ts");

/** The host's own /sys with the control groups that were there, list of namespaces and resolver ($2). $1: an empty folder. */
const ownViews = `
  mkdir -p /run/netns
  mount --rbind /sys/fs/cgroup "$1"
  mount -t sysfs sysfs /sys
  mount --rbind "$1" /sys/fs/cgroup
  umount -l "$1"
  mount -t tmpfs tmpfs /run/netns
  echo "nameserver $2" > "$1/resolv.conf"
  mount --bind "$1/resolv.conf" /etc/resolv.conf
  shift 2
  exec "$@"`;

function makeNamespaces(host: string, out: string): void {
  ip(
    `netns add ${host}\nnetns add ${out}\nlink add ${host} type veth peer name out netns ${out}\nlink set ${host} netns ${host}\n`,
  );
  ip(
    `link set lo up
     addr add ${hostAddress}/24 dev ${host}
     addr add fd00:9::1/64 dev ${host} nodad
     link set ${host} up
     route add default via 203.0.113.254
     -6 route add default via fd00:9::2\n`.replaceAll(/^\s*-6 /gm, ""),
    "-n",
    host,
  );
  const { private: own, forbidden } = outside;
  const addresses = [outside.web, outside.api, outside.resolver, ...own, ...forbidden, ...outside.ipv6];
  ip(
    `link set lo up
     addr add 203.0.113.254/24 dev out
     addr add fd00:9::2/64 dev out nodad
     link set out up
     ${addresses.map((address) => `addr add ${address} dev lo`).join("\n")}\n`,
    "-n",
    out,
  );
}

function ip(commands: string, ...parameters: string[]): void {
  const { status, stderr } = spawnSync("ip", [...parameters, "-batch", "-"], {
    env: environment,
    input: commands,
    encoding: "utf8",
  });
  if (status !== 0 && !parameters.includes("-force")) throw new Error(`ip: ${stderr}`);
}

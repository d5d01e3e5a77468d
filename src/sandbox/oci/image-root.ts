/**
 * What comes before the runtime when it starts an image: a mount namespace of its own, in which the image's files lie below
 * a writable layer in memory. Everything mounted here is seen by nobody else and is gone with the last process in it,
 * however that ends, so nothing has to be unmounted, not even after a crash of the server.
 *
 *   MOUNTS/work/lower   the image's files, with their owners mapped to the host's numbers for this instance
 *   MOUNTS/work/upper   what the instance writes: a tmpfs of bounded size, which counts as memory of whoever writes
 *   MOUNTS/root         both in one: the container's root
 *
 * `overlay` needs mounts with mapped owners (Linux 5.19) and perl, which Debian and Ubuntu always have. Else the files are
 * copied: `copy`.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { launchScript } from "./image-launch-script.ts";

export type ImageMode = "overlay" | "copy";

export interface IdPair {
  /** In the image. */
  readonly inside: number;
  /** On the host. */
  readonly outside: number;
}

export interface ImageLaunch {
  readonly mode: ImageMode;
  /** The image's files. */
  readonly lower: string;
  /** Holds `work` and `root`; anybody may walk there. */
  readonly mounts: string;
  /** Holds the pipes `out` and `err`; the server's alone. */
  readonly folder: string;
  readonly map: readonly IdPair[];
  /** Outside: whose the pipes are. */
  readonly program: { readonly uid: number; readonly gid: number };
  readonly writableBytes: number;
  readonly writableFiles: number;
  /** Of the image's files: what a copy takes on top. */
  readonly imageBytes: number;
  readonly imageFiles: number;
  /** Namespace in which the program may listen on any port. */
  readonly networkPath: string;
  /** Nothing is started before somebody listens there; null: nobody is waited for. */
  readonly waitsForPort: number | null;
  readonly command: readonly string[];
}

export const launchEnvironment = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" } as const;

/** The same as the other script, with the files copied and given to their owners one by one. */
const copyScript = `set -e
pipes="$1" owner="$2:$3" network="$4" lower="$5" root="$6/root" map="$7" bytes="$8" files="$9"; shift 9
mark="$1"; shift
mkfifo -m 600 "$pipes/out" "$pipes/err"
chown "$owner" "$pipes/out" "$pipes/err"
exec 3<>"$pipes/out" 4<>"$pipes/err"
echo ready
read -r go
exec </dev/null 1>&3 2>&4 3>&- 4>&-
[ "$(stat -Lc %i "$network")" != "$(stat -Lc %i /proc/self/ns/net)" ]
nsenter --net="$network" sh -c 'echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start'
until [ -z "$mark" ] || nsenter --net="$network" grep -q "$mark" /proc/self/net/tcp; do sleep 0.01; done
mount -t tmpfs -o "size=$bytes,nr_inodes=$files,mode=0755,nosuid,nodev" tmpfs "$root"
cp -a "$lower/." "$root/"
echo "$map" | while read -r inside outside one; do
  [ -n "$inside" ] || continue
  find "$root" -uid "$inside" -exec chown -h "$outside" {} +
  find "$root" -gid "$inside" -exec chgrp -h "$outside" {} +
done
exec "$@"`;

const pageBytes = 4096;
const probeMs = 10_000;

/**
 * Program and arguments. It writes a line when the pipes are there, and goes on when it is sent one: by then somebody
 * reads them. They are named ones, owned by the program's user, because programs open /dev/stdout, which the pair of
 * sockets that Node makes does not allow.
 */
export function imageLauncher(launch: ImageLaunch): readonly string[] {
  const { mode, lower, mounts, folder, map, program, networkPath, command } = launch;
  const isCopy = mode === "copy";
  // Each file takes whole pages.
  const bytes = launch.writableBytes + (isCopy ? launch.imageBytes + launch.imageFiles * pageBytes : 0);
  const files = launch.writableFiles + (isCopy ? launch.imageFiles : 0);
  const lines = map.map(({ inside, outside }) => `${inside} ${outside} 1\n`).join("");
  const parameters = [folder, String(program.uid), String(program.gid), networkPath, lower, mounts, lines];
  parameters.push(String(bytes), String(files), listenMark(launch.waitsForPort), ...command);
  if (!isCopy) return ["/usr/bin/perl", "-e", launchScript(process.arch) ?? "", "--", ...parameters];
  const unshare = ["/usr/bin/env", "unshare", "--mount", "--propagation", "private"];
  return [...unshare, "/bin/sh", "-c", copyScript, "sh", ...parameters];
}

/** Tries the better one in this folder, with what it needs to be that. */
export function findImageMode(folder: string): ImageMode {
  if (launchScript(process.arch) === null || !existsSync("/usr/bin/perl")) return "copy";
  const lower = join(folder, "lower");
  const mounts = join(folder, "mounts");
  const answer = join(folder, "answer");
  try {
    mkdirSync(lower, { recursive: true });
    makeMountPoints(mounts);
    const [program = "", ...rest] = imageLauncher({
      mode: "overlay",
      lower,
      mounts,
      folder,
      map: [{ inside: 0, outside: mappedOwner }],
      program: { uid: 0, gid: 0 },
      writableBytes: 16 * pageBytes,
      writableFiles: 16,
      imageBytes: 0,
      imageFiles: 0,
      networkPath: "",
      waitsForPort: null,
      command: [
        "/bin/sh",
        "-c",
        'test "$(stat -c %u "$0")" = "$1" && touch "$0/x" && mkdir "$2"',
        join(mounts, "root"),
        String(mappedOwner),
        answer,
      ],
    });
    spawnSync(program, rest, { env: launchEnvironment, timeout: probeMs, input: "go\n" });
    return existsSync(answer) ? "overlay" : "copy";
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const mappedOwner = 1_000_000;

/** How the kernel's list of sockets shows one that listens there, on the loopback or everywhere. */
function listenMark(port: number | null): string {
  if (port === null) return "";
  return `:${port.toString(16).toUpperCase().padStart(4, "0")} 00000000:0000 0A`;
}

/** Whatever the server's umask is. */
export function makeMountPoints(mounts: string): void {
  mkdirSync(join(mounts, "work"), { recursive: true });
  mkdirSync(join(mounts, "root"));
  for (const folder of [mounts, join(mounts, "root")]) chmodSync(folder, 0o755);
}

/**
 * What comes before the runtime when it starts an image: a mount namespace of its own, in which the image's files lie below
 * a writable layer in memory. Everything mounted here is seen by nobody else and is gone with the last process in it,
 * however that ends, so nothing has to be unmounted, not even after a crash of the server.
 *
 *   WORK/lower     the image's files, with their owners mapped to the host's numbers for this instance
 *   WORK/upper     what the instance writes: a tmpfs of bounded size, which counts as memory of whoever writes
 *   ROOT           both in one: the container's root
 *
 * `overlay` needs mounts with mapped owners (Linux 5.19) and perl, which Debian and Ubuntu always have, for the three
 * system calls that mount(8) has no option for before util-linux 2.39. Else the files are copied: `copy`.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

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
  readonly command: readonly string[];
}

/** The numbers are the same on every architecture. */
const mapOwners = `
my ($lower, $target, $map) = @ARGV;
my $empty = "";
pipe(my $said, my $say) and pipe(my $wait, my $end) or die "pipe: $!";
my $pid = fork() // die "fork: $!";
if ($pid == 0) {
  open(STDIN, "<&", $wait); open(STDOUT, ">&", $say); close $end; close $said;
  exec "unshare", "--user", "sh", "-c", "echo; read x";
  exit 1;
}
close $say; close $wait;
defined(my $line = <$said>) or die "no user namespace";
for my $kind ("uid_map", "gid_map") {
  open(my $file, ">", "/proc/$pid/$kind") or die "$kind: $!";
  print $file $map;
  close($file) or die "$kind: $!";
}
open(my $users, "<", "/proc/$pid/ns/user") or die "ns: $!";
my $tree = syscall(428, -100, $lower, 1 | 02000000); # open_tree: CLONE, CLOEXEC
die "open_tree: $!" if $tree < 0;
my $attributes = pack("QQQQ", 0x100000 | 1 | 2 | 4, 0, 0, fileno($users)); # IDMAP, RDONLY, NOSUID, NODEV
syscall(442, $tree, $empty, 0x1000, $attributes, 32) == 0 or die "mount_setattr: $!";
syscall(429, $tree, $empty, -100, $target, 4) == 0 or die "move_mount: $!";
close $end;
waitpid($pid, 0);
`;

/** $1 lower, $2 mounts, $3 map for the kernel, $4 bytes, $5 files; what is mounted is ROOT. */
const mountOverlay = `
work="$2/work"
mount -t tmpfs -o "size=$4,nr_inodes=$5,mode=0700,nosuid,nodev" tmpfs "$work"
mkdir "$work/lower" "$work/upper" "$work/work"
perl -e "$map_owners" "$1" "$work/lower" "$3"
chown --reference="$work/lower" "$work/upper"
chmod --reference="$work/lower" "$work/upper"
mount -t overlay -o "nosuid,nodev,lowerdir=$work/lower,upperdir=$work/upper,workdir=$work/work" overlay "$2/root"
`;

const copyFiles = `
mount -t tmpfs -o "size=$4,nr_inodes=$5,mode=0755,nosuid,nodev" tmpfs "$2/root"
cp -a "$1/." "$2/root/"
echo "$3" | while read -r inside outside one; do
  [ -n "$inside" ] || continue
  find "$2/root" -uid "$inside" -exec chown -h "$outside" {} +
  find "$2/root" -gid "$inside" -exec chgrp -h "$outside" {} +
done
`;

/**
 * Program and arguments. It writes a line when the pipes are there, and goes on when it is sent one: by then somebody
 * reads them. They are named ones, owned by the program's user, because programs open /dev/stdout, which the pair of
 * sockets that Node makes does not allow.
 */
export function imageLauncher(launch: ImageLaunch): readonly string[] {
  const script = `set -e
pipes="$1" owner="$2" network="$3"; shift 3
mkfifo -m 600 "$pipes/out" "$pipes/err"
chown "$owner" "$pipes/out" "$pipes/err"
exec 3<>"$pipes/out" 4<>"$pipes/err"
echo ready
read -r go
exec </dev/null 1>&3 2>&4 3>&- 4>&-
nsenter --net="$network" sh -c 'echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start'
${makeRootScript(launch.mode)}
shift 5
exec "$@"`;
  const { folder, program, networkPath } = launch;
  const own = [folder, `${program.uid}:${program.gid}`, networkPath];
  return [...unshare, "/bin/sh", "-c", script, "sh", ...own, ...rootArguments(launch), ...launch.command];
}

/** Tries the better one in this folder, with what it needs to be that. */
export function findImageMode(folder: string): ImageMode {
  const lower = join(folder, "lower");
  const mounts = join(folder, "mounts");
  try {
    mkdirSync(lower, { recursive: true });
    writeFileSync(join(lower, "file"), "");
    makeMountPoints(mounts);
    const launch = { lower, mounts, map: [{ inside: 0, outside: 1_000_000 }], ...smallest };
    const script = `set -e${makeRootScript("overlay")}touch "$2/root/other"\nstat -c %u "$2/root/file"`;
    const [program, ...rest] = [
      ...unshare,
      "/bin/sh",
      "-c",
      script,
      "sh",
      ...rootArguments({ ...launch, mode: "overlay" }),
    ];
    const { stdout, status } = spawnSync(program, rest, {
      env: launchEnvironment,
      timeout: probeMs,
      stdio: ["ignore", "pipe", "ignore"],
    });
    return status === 0 && stdout.toString().trim() === "1000000" ? "overlay" : "copy";
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Whatever the server's umask is. */
export function makeMountPoints(mounts: string): void {
  mkdirSync(join(mounts, "work"), { recursive: true });
  mkdirSync(join(mounts, "root"));
  for (const folder of [mounts, join(mounts, "root")]) chmodSync(folder, 0o755);
}

export const launchEnvironment = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" } as const;

const unshare = ["/usr/bin/env", "unshare", "--mount", "--propagation", "private"] as const;
const probeMs = 10_000;
const smallest = { writableBytes: 65_536, writableFiles: 16, imageBytes: 0, imageFiles: 0 } as const;
const pageBytes = 4096;

function makeRootScript(mode: ImageMode): string {
  return mode === "copy" ? copyFiles : `\nmap_owners='${mapOwners}'\n${mountOverlay}`;
}

type RootLaunch = Pick<
  ImageLaunch,
  "mode" | "lower" | "mounts" | "map" | "writableBytes" | "writableFiles" | "imageBytes" | "imageFiles"
>;

function rootArguments(launch: RootLaunch): readonly string[] {
  const { mode, lower, mounts, map, writableBytes, writableFiles, imageBytes, imageFiles } = launch;
  const lines = map.map(({ inside, outside }) => `${inside} ${outside} 1\n`).join("");
  const isCopy = mode === "copy";
  // Each file takes whole pages.
  const bytes = writableBytes + (isCopy ? imageBytes + imageFiles * pageBytes : 0);
  const files = writableFiles + (isCopy ? imageFiles : 0);
  return [lower, mounts, lines, String(bytes), String(files)];
}

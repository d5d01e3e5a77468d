/**
 * The bundle's `config.json`: the whole wall around one instance, as a value. Pure, so that tests can read it.
 *
 * After the OCI runtime specification 1.0.2. What is not bound or mounted here does not exist inside: there is no shell,
 * no /sys, no host folder. The lists of masked and read-only paths are those of Docker's default (moby `oci/defaults.go`)
 * with the paths that newer kernels added.
 */
import type { IdPair } from "./image-root.ts";
import { seccompProfile } from "./seccomp.ts";

/** Inside, every program runs as this user: `nobody`, the same number whatever the number outside is. */
export const insideId = 65_534;

export const seenHostName = "aloft";

export interface HostIds {
  /** Outside: the number of the user that owns the container's own mounts. No process runs as it. */
  readonly owner: number;
  /** Outside: the number of the user that the program runs as. */
  readonly program: number;
}

export interface BoundFile {
  readonly source: string;
  readonly target: string;
}

/** An image instead of the root of all instances: its own files, writable, and its own users. */
export interface ImageInput {
  /** Users and groups alike. */
  readonly map: readonly IdPair[];
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
}

/**
 * What the root of an image may do, to files and processes of the image's own users alone (decisions/0015). Nobody else has any
 * capability: no function, and no image that says another user.
 */
export const imageRootCapabilities = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FOWNER",
  "CAP_KILL",
  "CAP_SETGID",
  "CAP_SETUID",
] as const;

export interface OciSpecInput {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Folder of mount points; never written to. */
  readonly rootFolder: string;
  /** Host files and folders, seen read-only. */
  readonly bound: readonly BoundFile[];
  readonly ids: HostIds;
  readonly cgroupsPath: string;
  readonly memoryBytes: number;
  readonly cpuShares: number;
  readonly pidsMax: number;
  readonly tmpBytes: number;
  readonly openFilesMax: number;
  readonly image?: ImageInput;
  /** A network namespace that was made ready; null for a new one that has nothing but its own loopback. */
  readonly networkPath: string | null;
}

const maskedPaths = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/config.gz",
  "/proc/interrupts",
  "/proc/kallsyms",
  "/proc/kcore",
  "/proc/key-users",
  "/proc/keys",
  "/proc/kmsg",
  "/proc/kpagecount",
  "/proc/kpageflags",
  "/proc/latency_stats",
  "/proc/modules",
  "/proc/sched_debug",
  "/proc/scsi",
  "/proc/slabinfo",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/vmallocinfo",
] as const;

const readonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"] as const;

/** Where C libraries put what threads and processes share; a file system of its own, as with docker. */
const sharedMemory = {
  destination: "/dev/shm",
  type: "tmpfs",
  source: "tmpfs",
  options: ["nosuid", "noexec", "nodev", "mode=1777", "size=64m", "nr_inodes=1024"],
};

/** A file of /tmp takes about 1 KiB of the kernel's memory however small it is. */
const bytesPerTmpInode = 8 * 1024;

export function ociSpec(input: OciSpecInput): Record<string, unknown> {
  const { owner, program } = input.ids;
  const { image } = input;
  const capabilities = image?.uid === 0 ? imageRootCapabilities : [];
  const pairs = image?.map ?? [
    { inside: 0, outside: owner },
    { inside: insideId, outside: program },
  ];
  const idMappings = pairs.map(({ inside, outside }) => ({ containerID: inside, hostID: outside, size: 1 }));
  return {
    ociVersion: "1.0.2",
    hostname: seenHostName,
    root: { path: input.rootFolder, readonly: image === undefined },
    process: {
      terminal: false,
      user:
        image === undefined
          ? { uid: insideId, gid: insideId, additionalGids: [] }
          : { uid: image.uid, gid: image.gid, additionalGids: image.groups },
      cwd: input.cwd,
      args: input.argv,
      env: Object.entries(input.env).map(([name, value]) => `${name}=${value}`),
      // Not inheritable, so that whoever ceases to be root has none.
      capabilities: {
        bounding: capabilities,
        effective: capabilities,
        permitted: capabilities,
        inheritable: [],
        ambient: [],
      },
      noNewPrivileges: true,
      // When the machine itself runs out of memory, functions go before what looks after them.
      oomScoreAdj: 500,
      rlimits: [
        { type: "RLIMIT_CORE", hard: 0, soft: 0 },
        { type: "RLIMIT_NOFILE", hard: input.openFilesMax, soft: input.openFilesMax },
        { type: "RLIMIT_FSIZE", hard: input.tmpBytes, soft: input.tmpBytes },
        { type: "RLIMIT_MEMLOCK", hard: 0, soft: 0 },
        { type: "RLIMIT_MSGQUEUE", hard: 0, soft: 0 },
      ],
    },
    mounts: mountsOf(input),
    linux: {
      namespaces: [
        { type: "user" },
        { type: "pid" },
        { type: "mount" },
        { type: "ipc" },
        { type: "uts" },
        { type: "cgroup" },
        input.networkPath === null ? { type: "network" } : { type: "network", path: input.networkPath },
      ],
      uidMappings: idMappings,
      gidMappings: idMappings,
      cgroupsPath: input.cgroupsPath,
      resources: {
        devices: [{ allow: false, access: "rwm" }],
        // `swap` is memory and swap together, as of cgroups v1: equal numbers mean no swap in both versions.
        memory: { limit: input.memoryBytes, swap: input.memoryBytes },
        cpu: { shares: input.cpuShares },
        pids: { limit: input.pidsMax },
      },
      seccomp: seccompProfile(),
      maskedPaths,
      readonlyPaths,
    },
  };
}

function mountsOf(input: OciSpecInput): unknown[] {
  const inodes = Math.ceil(input.tmpBytes / bytesPerTmpInode);
  return [
    { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "noexec", "strictatime", "mode=755", "size=64k", "nr_inodes=64"],
    },
    {
      destination: "/tmp",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "nodev", "mode=1777", `size=${input.tmpBytes}`, `nr_inodes=${inodes}`],
    },
    ...(input.image === undefined ? [] : [sharedMemory]),
    ...input.bound.map(({ source, target }) => ({
      destination: target,
      type: "bind",
      source,
      options: ["bind", "ro", "nosuid", "nodev", "private"],
    })),
  ];
}

/**
 * The `oci` driver: an instance is a container of an OCI runtime (runc, crun, runsc), started with a bundle that
 * `oci-spec.ts` writes. The runtime stays as the parent of the program and ends with its exit status.
 *
 *   FOLDER/ID/            of the server alone: config.json; task/, which the instance sees read-only as /var/task
 *   RUN/root/             the root of all instances (`root-folder.ts`)
 *   RUN/images/ID/        mount points of an image's program (`image-root.ts`)
 *   RUN/state/            the runtime's own notes
 *   RUN/cgroups.json      where this server's groups are, for the one that cleans up after it
 *
 * RUN is /run/aloft/ and a hash of FOLDER: any user may walk there, which a data folder does not allow. What a killed
 * server left (containers, groups, folders) is ended and removed at the next start.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { AloftError } from "../../contract/errors.ts";
import { limits } from "../../contract/limits.ts";
import type { ImageProgramSpec, Sandbox, SandboxProcess, SandboxProgram, SandboxSpec } from "../../contract/sandbox.ts";
import type { Clock } from "../../lib/clock.ts";
import { type BegunMark, openBegunMark } from "../begun-mark.ts";
import { Cgroup, type CgroupPlace } from "./cgroups.ts";
import { type HostIdRange, HostIdPool } from "./host-ids.ts";
import { openImagePipes } from "./image-pipes.ts";
import {
  findImageMode,
  type IdPair,
  imageLauncher,
  type ImageMode,
  launchEnvironment,
  makeMountPoints,
} from "./image-root.ts";
import { endLeftovers, noteCgroups } from "./leftovers.ts";
import type { InstanceNetwork, Network } from "./network/network.ts";
import { LinkedTrees } from "./linked-tree.ts";
import { backgroundNice, backgroundShares, normalShares, OciProcess } from "./oci-process.ts";
import { type HostIds, ociSpec } from "./oci-spec.ts";
import { RootFolder, taskFolder } from "./root-folder.ts";
import { atNice } from "./server-priority.ts";

export interface OciSandboxOptions {
  /** Absolute path of the runtime. */
  readonly runtime: string;
  /** Folder for the instances' own folders; what is in it belongs to this driver. */
  readonly folder: string;
  readonly ids: HostIdRange;
  readonly cgroups: CgroupPlace;
  readonly clock: Clock;
  /** null: instances have nothing but their own loopback. It stays open when the driver is closed. */
  readonly network: Network | null;
  /** How images get a writable layer; found by trying unless told. */
  readonly imageMode?: ImageMode;
}

const MiB = 1024 * 1024;
/** A file of a tmpfs takes about 1 KiB of the kernel's memory however small it is. */
const bytesPerWritableFile = 8 * 1024;
/** Half of the memory, as Linux does by default; its files count as memory of the instance. */
const tmpPart = 0.5;

export function openOciSandbox(options: OciSandboxOptions): Sandbox {
  const runFolder = runFolderOf(options.folder);
  const stateFolder = join(runFolder, "state");
  mkdirSync(options.folder, { recursive: true });
  endLeftovers(runFolder, options.folder);
  makeWalkable(runFolder);
  mkdirSync(stateFolder, { mode: 0o700 });
  const root = new RootFolder(join(runFolder, "root"), options.network?.gateway ?? null);
  const parents = [...new Set(Object.values(options.cgroups.parents))];
  noteCgroups(runFolder, { parents, prefix: groupNameOf(options.folder, "") });
  const ids = new HostIdPool(options.ids, options.clock);
  const trees = new LinkedTrees();
  const running = new Map<string, OciProcess>();
  let { imageMode } = options;

  function start(spec: SandboxSpec): SandboxProcess {
    const taken = ids.take();
    const name = groupNameOf(options.folder, spec.id);
    const folder = join(options.folder, spec.id);
    let network: InstanceNetwork | null = null;
    let mark: BegunMark | null = null;
    try {
      const sharedWith = spec.sharesNetworkOf === undefined ? null : sharedNetwork(spec.sharesNetworkOf);
      if (sharedWith !== null) network = sharedWith.network;
      else if (spec.network) network = options.network?.take() ?? null;
      const networkPath = sharedWith?.path ?? network?.path ?? null;
      mkdirSync(join(folder, "task"), { recursive: true });
      const config = configOf(spec, name, folder, taken, networkPath);
      writeFileSync(join(folder, "config.json"), JSON.stringify(config), { mode: 0o600 });
      const making = sharedWith === null ? (network?.making ?? "") : "";
      mark = openBegunMark(folder, spec.id);
      const nice = spec.priority === "background" ? backgroundNice : 0;
      const child = spawnRuntime({ runtime: options.runtime, stateFolder, bundle: folder, name, nice, making, mark });
      const started = new OciProcess({
        id: spec.id,
        child,
        folder,
        stateFolder: join(stateFolder, name),
        cgroup: new Cgroup(options.cgroups, name),
        trees,
        network,
        mark,
        onGone: () => {
          ids.giveBack(taken);
          network?.letGo();
        },
      });
      running.set(spec.id, started);
      void started.exited.then(() => running.delete(spec.id));
      return started;
    } catch (error) {
      mark?.close();
      network?.letGo();
      ids.giveBack(taken);
      rmSync(folder, { recursive: true, force: true });
      throw startFailure(error as Error);
    }
  }

  /** Held for one more. Throws where there is nothing to share. */
  function sharedNetwork(id: string): { readonly network: InstanceNetwork | null; readonly path: string } {
    const other = running.get(id);
    const path = other?.networkPath() ?? null;
    if (other === undefined || path === null) throw new Error(`${id}, whose network it shares, does not run`);
    other.network?.hold();
    return { network: other.network, path };
  }

  function configOf(
    spec: SandboxSpec,
    name: string,
    folder: string,
    taken: HostIds,
    networkPath: string | null,
  ): Record<string, unknown> {
    const { argv, bound } = root.show(spec.files, spec.argv, spec.paths);
    return ociSpec({
      argv,
      env: { ...spec.env, TMPDIR: "/tmp" },
      cwd: "/tmp",
      rootFolder: root.path,
      bound: [...bound, { source: join(folder, "task"), target: taskFolder }],
      ids: taken,
      cgroupsPath: options.cgroups.specPrefix + name,
      memoryBytes: spec.memoryMiB * MiB,
      cpuShares: spec.priority === "background" ? backgroundShares : normalShares,
      pidsMax: limits.processesPerInstance,
      tmpBytes: Math.floor(spec.memoryMiB * MiB * tmpPart),
      openFilesMax: limits.openFilesPerInstance,
      networkPath,
    });
  }

  function startImage(spec: ImageProgramSpec): SandboxProgram {
    const name = groupNameOf(options.folder, spec.id);
    const folder = join(options.folder, spec.id);
    const mounts = join(runFolder, "images", spec.id);
    const taken: HostIds[] = [];
    let network: InstanceNetwork | null = null;
    const letGo = (): void => {
      network?.letGo();
      for (const each of taken) ids.giveBack(each);
      rmSync(mounts, { recursive: true, force: true });
    };
    try {
      const shared = sharedNetwork(spec.sharesNetworkOf);
      network = shared.network;
      const networkPath = shared.path;
      const map = spec.owners.map((inside, index): IdPair => {
        if (index % 2 === 0) taken.push(ids.take());
        const { owner, program } = taken.at(-1) ?? ids.take();
        return { inside, outside: index % 2 === 0 ? owner : program };
      });
      const outside = (inside: number): number => map.find((pair) => pair.inside === inside)?.outside ?? 0;
      imageMode ??= findImageMode(join(runFolder, "try"));
      makeMountPoints(mounts);
      mkdirSync(folder, { recursive: true });
      const config = imageConfigOf(spec, { name, mounts, map, networkPath });
      writeFileSync(join(folder, "config.json"), JSON.stringify(config), { mode: 0o600 });
      const writableBytes = Math.floor(spec.memoryMiB * MiB * tmpPart);
      const launch = imageLauncher({
        mode: imageMode,
        lower: spec.root,
        mounts,
        folder,
        map,
        program: { uid: outside(spec.uid), gid: outside(spec.gid) },
        writableBytes,
        writableFiles: Math.ceil(writableBytes / bytesPerWritableFile),
        imageBytes: spec.rootBytes,
        imageFiles: spec.rootFiles,
        networkPath,
        waitsForPort: spec.waitsForPort,
        command: [options.runtime, "--root", stateFolder, "run", "--keep", "--bundle", folder, name],
      });
      const [launcher = "", ...parameters] = atNice(0, launch);
      const child = spawn(launcher, parameters, { cwd: "/", env: launchEnvironment, detached: true });
      const started = new OciProcess({
        id: spec.id,
        child,
        folder,
        stateFolder: join(stateFolder, name),
        cgroup: new Cgroup(options.cgroups, name),
        trees,
        network,
        mark: null,
        pipes: openImagePipes(child, folder),
        onGone: letGo,
      });
      running.set(spec.id, started);
      void started.exited.then(() => running.delete(spec.id));
      return started;
    } catch (error) {
      letGo();
      rmSync(folder, { recursive: true, force: true });
      throw startFailure(error as Error);
    }
  }

  function imageConfigOf(
    spec: ImageProgramSpec,
    place: {
      readonly name: string;
      readonly mounts: string;
      readonly map: readonly IdPair[];
      readonly networkPath: string;
    },
  ): Record<string, unknown> {
    const { uid, gid, groups } = spec;
    return ociSpec({
      argv: spec.argv,
      env: spec.env,
      cwd: spec.workingDir,
      rootFolder: join(place.mounts, "root"),
      bound: root.networkFiles,
      // Of no meaning beside the map of the image's own users.
      ids: { owner: 0, program: 0 },
      image: { map: place.map, uid, gid, groups },
      cgroupsPath: options.cgroups.specPrefix + place.name,
      memoryBytes: spec.memoryMiB * MiB,
      cpuShares: normalShares,
      pidsMax: limits.processesPerInstance,
      tmpBytes: Math.floor(spec.memoryMiB * MiB * tmpPart),
      openFilesMax: limits.openFilesPerInstance,
      networkPath: place.networkPath,
    });
  }

  async function close(): Promise<void> {
    const exits = [...running.values()].map((one) => {
      one.kill();
      return one.exited;
    });
    await Promise.all(exits);
    rmSync(runFolder, { recursive: true, force: true });
  }

  return { kind: "oci", keepsNetwork: true, start, startImage, close };
}

function startFailure(error: Error): AloftError {
  return new AloftError("SANDBOX_START_FAILED", `the container could not be started: ${error.message}`, {
    cause: error,
    hint: "look for a limit on processes, open files, memory or disk on this machine",
  });
}

const hashChars = 12;

/** Where a driver with this folder keeps what must not lie in a data folder. */
export function runFolderOf(folder: string): string {
  return join("/run/aloft", createHash("sha256").update(resolve(folder)).digest("hex").slice(0, hashChars));
}

/** Whatever the server's umask is. */
function makeWalkable(runFolder: string): void {
  mkdirSync(runFolder, { recursive: true });
  for (const folder of [dirname(runFolder), runFolder]) chmodSync(folder, 0o755);
}

/** Of an instance's container and of its cgroup. */
export function groupNameOf(folder: string, id: string): string {
  return `aloft-${runFolderOf(folder).slice(-hashChars)}-${id}`;
}

interface RuntimeStart {
  readonly runtime: string;
  readonly stateFolder: string;
  readonly bundle: string;
  readonly name: string;
  readonly nice: number;
  /** Shell commands that come first. */
  readonly making: string;
  readonly mark: BegunMark | null;
}

function spawnRuntime({ runtime, stateFolder, bundle, name, nice, making, mark }: RuntimeStart): ChildProcess {
  // --keep: the group stays until its counters have been read. Descriptors 3 and 4 go through to the program.
  const parameters = ["--root", stateFolder, "run", "--keep", "--preserve-fds", "2", "--bundle", bundle, name];
  const command =
    making === "" ? [runtime, ...parameters] : ["/bin/sh", "-c", `${making}exec "$@"`, "sh", runtime, ...parameters];
  const [program = runtime, ...rest] = atNice(nice, command);
  return spawn(program, rest, {
    cwd: "/",
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
    stdio: ["ignore", "pipe", "pipe", "pipe", mark?.descriptor ?? "ignore"],
    // A process group of its own, so that a runtime that hangs is ended with its helpers.
    detached: true,
  });
}

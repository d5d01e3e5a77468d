/**
 * The root that all instances see, read-only: mount points for what is bound into it, and the few files of /etc that a C
 * library asks for. It has to lie where any user may walk to it, because the runtime enters it as the container's own root.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { layersFolder } from "../../contract/layers.ts";
import type { BoundFile } from "./oci-spec.ts";
import { sharedLibrariesOf } from "./shared-libraries.ts";

/** Where an instance sees its deployment: the path that AWS Lambda uses. */
export const taskFolder = "/var/task";

const emptyFolders = ["/proc", "/dev", "/tmp", "/etc", taskFolder] as const;
const certificateFiles = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/cert.pem",
] as const;
const zoneFolder = "/usr/share/zoneinfo";

const etc: Readonly<Record<string, string>> = {
  passwd: "root:x:0:0::/:/sbin/nologin\nnobody:x:65534:65534::/tmp:/sbin/nologin\n",
  group: "root:x:0:\nnogroup:x:65534:\n",
  // The last one is where extensions of AWS Lambda listen.
  hosts: "127.0.0.1 localhost\n::1 localhost\n127.0.0.1 aloft\n127.0.0.1 sandbox.localdomain sandbox\n",
  "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
};

export class RootFolder {
  readonly path: string;
  /** What every instance has. */
  readonly #common: BoundFile[] = [];
  readonly #inPlace = new Map<string, BoundFile>();
  readonly #programs = new Map<string, { readonly target: string; readonly bound: readonly BoundFile[] }>();

  /** `resolver`: the address that programs ask for names; null: there is none. */
  constructor(path: string, resolver: string | null) {
    this.path = path;
    for (const folder of emptyFolders) this.#makeFolder(folder);
    // What the layers of a deployment hold lies in its folder; without any the link leads nowhere.
    symlinkSync(join(taskFolder, layersFolder), join(path, "opt"));
    // runc gives what it mounts the mode of its mount point, whatever the mount says.
    chmodSync(join(path, "tmp"), 0o1777);
    for (const [name, text] of Object.entries(etc)) this.#makeFile(`/etc/${name}`, text);
    this.#makeFile("/etc/resolv.conf", resolver === null ? "" : `nameserver ${resolver}\n`);
    const certificates = certificateFiles.find((file) => existsSync(file));
    if (certificates !== undefined) this.#makeFile(certificateFiles[0], readFileSync(certificates));
    if (existsSync(zoneFolder)) {
      this.#makeFolder(zoneFolder);
      this.#common.push({ source: zoneFolder, target: zoneFolder });
    }
  }

  /** What a container of another root needs to find other machines by name. */
  get networkFiles(): readonly BoundFile[] {
    return ["/etc/hosts", "/etc/resolv.conf"].map((target) => ({ source: join(this.path, target), target }));
  }

  /** What to bind for a program that needs these files and paths, and `argv` as it names the files inside. */
  show(
    files: readonly string[],
    argv: readonly string[],
    paths: readonly string[] = [],
  ): { bound: readonly BoundFile[]; argv: readonly string[] } {
    const shown = files.map((file) => ({ file, ...this.#show(file) }));
    const targets = new Map(shown.map(({ file, target }) => [file, target]));
    const bound = [
      ...this.#common,
      ...shown.flatMap((one) => one.bound),
      ...paths.map((path) => this.#showInPlace(path)),
    ];
    return {
      // Programs and their modules need some of the same libraries.
      bound: [...new Map(bound.map((one) => [one.target, one])).values()],
      argv: argv.map((each) => targets.get(each) ?? each),
    };
  }

  #showInPlace(path: string): BoundFile {
    let found = this.#inPlace.get(path);
    if (found === undefined) {
      found = { source: realpathSync(path), target: path };
      if (statSync(path).isDirectory()) this.#makeFolder(path);
      else this.#makeFile(path, "");
      this.#inPlace.set(path, found);
    }
    return found;
  }

  #show(file: string): { readonly target: string; readonly bound: readonly BoundFile[] } {
    const known = this.#programs.get(file);
    if (known !== undefined) return known;
    const libraries = sharedLibrariesOf(file);
    const target = join(libraries.length > 0 ? "/usr/local/bin" : "/usr/local/lib/aloft", basename(file));
    const bound = [{ source: realpathSync(file), target }];
    for (const library of libraries) bound.push({ source: realpathSync(library), target: library });
    for (const each of bound) this.#makeFile(each.target, "");
    const made = { target, bound };
    this.#programs.set(file, made);
    return made;
  }

  #makeFolder(path: string): void {
    const parent = dirname(path);
    if (parent !== "/" && !existsSync(join(this.path, parent))) this.#makeFolder(parent);
    const folder = join(this.path, path);
    if (existsSync(folder)) return;
    mkdirSync(folder, { recursive: true });
    // Whatever the server's umask is.
    chmodSync(folder, 0o755);
  }

  #makeFile(path: string, content: string | Buffer): void {
    this.#makeFolder(dirname(path));
    const file = join(this.path, path);
    writeFileSync(file, content);
    chmodSync(file, 0o644);
  }
}

/**
 * The machine's python3 and what of it a sandbox has to show: its standard library, the libraries of its own build, the
 * guest. It may be Debian's /usr/bin/python3 or a build in any folder (pyenv, uv), found through the path like by a shell.
 */
import { execFileSync } from "node:child_process";
import { accessSync, constants, existsSync, realpathSync } from "node:fs";
import { dirname } from "node:path";
import { AloftError } from "../contract/errors.ts";

export interface PythonProgram {
  /** Absolute path without links. */
  readonly executable: string;
  /** Absolute path of the guest runtime's first file. */
  readonly guest: string;
  /** What the interpreter reads: the standard library, the libraries of its modules, the guest. */
  readonly paths: readonly string[];
  /** PYTHONHOME */
  readonly home: string;
  /** "3.11.7" */
  readonly version: string;
}

const oldest = [3, 9] as const;
const askMs = 10_000;
const hint = "install Python 3.9 or newer, on Debian with: apt-get install python3";

/**
 * What the interpreter says of itself: a shim that starts another one is seen through. The libraries that its modules are
 * linked with are found by loading those modules, and those that wheels may count on (PEP 600) by their names.
 */
const question = `
import json, os, sys, sysconfig
folders = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), sysconfig.get_config_var("DESTSHARED")}
libraries = []
try:
    import ctypes
    for folder in [f for f in folders if f]:
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            if name.endswith(".so") and "test" not in name and "tkinter" not in name:
                try: ctypes.CDLL(os.path.join(folder, name))
                except OSError: pass
    for name in "libgcc_s.so.1 libstdc++.so.6 libdl.so.2 librt.so.1 libutil.so.1 libpthread.so.0 libnsl.so.1 libresolv.so.2".split():
        try: ctypes.CDLL(name)
        except OSError: pass
    class Info(ctypes.Structure):
        _fields_ = [("address", ctypes.c_void_p), ("name", ctypes.c_char_p)]
    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(Info), ctypes.c_size_t, ctypes.c_void_p)
    def add(info, size, data):
        libraries.append((info.contents.name or b"").decode())
        return 0
    ctypes.CDLL(None).dl_iterate_phdr(add, None)
except (ImportError, AttributeError): pass
print(json.dumps({"executable": sys.executable, "version": list(sys.version_info[:3]), "home": sys.base_prefix,
    "folders": [f for f in folders if f], "libraries": [f for f in libraries if f.startswith("/")]}))
`;

/** Remembers what it found; what it did not find it looks for again, for it may have been installed meanwhile. */
export function pythonFinder(guest: string, candidates: readonly string[]): () => PythonProgram {
  let found: PythonProgram | null = null;
  return () => (found ??= findPython(guest, candidates));
}

/** The first of these programs that will do. Throws RUNTIME_UNAVAILABLE. */
function findPython(guest: string, candidates: readonly string[]): PythonProgram {
  const tried: string[] = [];
  for (const candidate of candidates.filter(isExecutable)) {
    const answer = ask(candidate);
    if (answer === null) continue;
    const version = answer.version.join(".");
    const [major = 0, minor = 0] = answer.version;
    if (major === oldest[0] && minor >= oldest[1]) {
      const found = [...answer.folders, ...answer.libraries].filter((path) => existsSync(path));
      return {
        executable: realpathSync(answer.executable),
        guest,
        paths: [...withoutInner([...new Set(found)]), dirname(guest)],
        home: answer.home,
        version,
      };
    }
    tried.push(`${candidate} is ${version}`);
  }
  const found = tried.length === 0 ? "no python3 was found" : tried.join(", ");
  throw new AloftError("RUNTIME_UNAVAILABLE", `this machine cannot run Python functions: ${found}`, { hint });
}

interface Answer {
  readonly executable: string;
  readonly version: readonly number[];
  readonly home: string;
  readonly folders: readonly string[];
  readonly libraries: readonly string[];
}

function ask(candidate: string): Answer | null {
  try {
    const text = execFileSync(candidate, ["-I", "-S", "-c", question], {
      encoding: "utf8",
      timeout: askMs,
      stdio: ["ignore", "pipe", "ignore"],
    });
    return JSON.parse(text) as Answer;
  } catch {
    // A shim without a version behind it, or another program of this name.
    return null;
  }
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Without those that lie in another one of the list. */
function withoutInner(folders: readonly string[]): string[] {
  return folders.filter((one) => !folders.some((other) => one.startsWith(`${other}/`)));
}

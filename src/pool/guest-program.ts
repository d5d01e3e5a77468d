/**
 * Which guest serves a function, and how its process is started.
 *
 *   node        Aloft's own runtime; V8 sizes follow the memory class, for they cannot change later
 *   python      Aloft's own runtime on the machine's python3
 *   companion   starts a program that knows nothing of frames and speaks for it: the other runtimes
 */
import type { Program, Runtime } from "../contract/deployment.ts";
import { limits } from "../contract/limits.ts";
import type { SandboxSpec } from "../contract/sandbox.ts";
import type { PythonProgram } from "./python-program.ts";
import { systemPaths } from "./system-paths.ts";

export type GuestKind = "node" | "python" | "companion";

export const guestKinds = ["node", "python", "companion"] as const satisfies readonly GuestKind[];

export interface GuestProgram {
  /** Absolute path of a Node.js of the server's own version. */
  readonly node: string;
  /** Absolute path of the bundled guest runtime. */
  readonly entry: string;
  /** Absolute path of the bundled companion. */
  readonly companion: string;
  /** Looked for when it is first needed. Throws RUNTIME_UNAVAILABLE. */
  readonly python: () => PythonProgram;
}

const kindOfRuntime: Readonly<Record<Runtime, GuestKind>> = {
  node: "node",
  nodejs: "companion",
  python: "python",
  provided: "companion",
  command: "companion",
  image: "companion",
};

export function guestKindOf(program: Program | undefined): GuestKind {
  return kindOfRuntime[program?.runtime ?? "node"];
}

/** What a Node process needs beside the JavaScript heap: code, stacks, buffers, the runtime itself. */
const besideHeapMiB = 48;
/** The companion holds no more than the bodies under way. */
const companionHeapMiB = 48;

const systemEnvironment = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  LANG: "C.UTF-8",
} as const;
const nodeEnvironment = { ...systemEnvironment, NODE_ENV: "production" } as const;

/** Throws RUNTIME_UNAVAILABLE. */
export function guestSpec(
  program: GuestProgram,
  kind: GuestKind,
  id: string,
  memoryMiB: number,
  variables: Readonly<Record<string, string>> | null,
): SandboxSpec {
  const common = { id, memoryMiB, network: true };
  switch (kind) {
    case "node":
      return {
        ...common,
        argv: [...nodeArguments(program, memoryMiB - besideHeapMiB, memoryMiB), program.entry],
        files: [program.node, program.entry],
        env: { ...nodeEnvironment, ...variables },
      };
    case "companion":
      return {
        ...common,
        // Its own memory is not the function's.
        memoryMiB: memoryMiB + limits.companionMiB,
        argv: [...nodeArguments(program, companionHeapMiB, 0), program.companion],
        files: [program.node, program.companion],
        paths: systemPaths(),
        env: nodeEnvironment,
      };
    case "python": {
      const { executable, guest, paths, home } = program.python();
      return {
        ...common,
        // -s: no packages of the machine's user; -B: nothing is written beside the code; -u: print is not held back.
        argv: [executable, "-s", "-B", "-u", guest],
        files: [executable],
        paths,
        // Wherever the sandbox shows the executable, its standard library is found.
        env: { ...systemEnvironment, PYTHONHOME: home, ...variables },
      };
    }
    default:
      return kind satisfies never;
  }
}

function nodeArguments(program: GuestProgram, heapMiB: number, memoryMiB: number): string[] {
  // Young generation: large enough that a request's garbage dies there, small enough that an idle instance stays small.
  const semiSpaceMiB = memoryMiB >= 1024 ? 16 : memoryMiB >= 256 ? 8 : 2;
  return [
    program.node,
    `--max-old-space-size=${Math.max(32, heapMiB)}`,
    `--max-semi-space-size=${semiSpaceMiB}`,
    "--disable-warning=ExperimentalWarning",
    // For `guest/node/native-web.ts`, which loads Node's web classes only when they are needed.
    "--expose-internals",
  ];
}

const readAtStart: Readonly<Record<GuestKind, RegExp | null>> = {
  node: /^(?:NODE_(?!ENV$)|UV_|SSL_CERT_|OPENSSL_|ICU_)/,
  python: /^(?:PYTHON|LC_|LANG$|MALLOC_|OPENSSL_)/,
  // It gives them to the program that it starts.
  companion: null,
};

/** Variables that a runtime reads only while it starts: a deployment that sets one cannot use a process that has started. */
export function needsOwnStart(kind: GuestKind, variables: Readonly<Record<string, string>>): boolean {
  const pattern = readAtStart[kind];
  return pattern !== null && Object.keys(variables).some((name) => pattern.test(name));
}

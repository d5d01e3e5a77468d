/** How the runtime program of an instance is started: its V8 sizes follow the memory class, for they cannot change later. */
import type { SandboxSpec } from "../contract/sandbox.ts";

export interface GuestProgram {
  /** Absolute path of a Node.js of the server's own version. */
  readonly node: string;
  /** Absolute path of the bundled guest runtime. */
  readonly entry: string;
}

/** What a Node process needs beside the JavaScript heap: code, stacks, buffers, the runtime itself. */
const besideHeapMiB = 48;

const plainEnvironment = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  LANG: "C.UTF-8",
  NODE_ENV: "production",
} as const;

export function guestSpec(
  program: GuestProgram,
  id: string,
  memoryMiB: number,
  variables: Readonly<Record<string, string>> | null,
): SandboxSpec {
  const heapMiB = Math.max(32, memoryMiB - besideHeapMiB);
  // Young generation: large enough that a request's garbage dies there, small enough that an idle instance stays small.
  const semiSpaceMiB = memoryMiB >= 1024 ? 16 : memoryMiB >= 256 ? 8 : 2;
  return {
    id,
    argv: [
      program.node,
      `--max-old-space-size=${heapMiB}`,
      `--max-semi-space-size=${semiSpaceMiB}`,
      "--disable-warning=ExperimentalWarning",
      // For `guest/node/native-web.ts`, which loads Node's web classes only when they are needed.
      "--expose-internals",
      program.entry,
    ],
    files: [program.node, program.entry],
    env: variables === null ? plainEnvironment : { ...plainEnvironment, ...variables },
    memoryMiB,
    network: true,
  };
}

/** Variables that Node reads only while it starts: a deployment that sets one cannot use a process that has started. */
export function needsOwnStart(variables: Readonly<Record<string, string>>): boolean {
  return Object.keys(variables).some(
    (name) => name !== "NODE_ENV" && /^(?:NODE_|UV_|SSL_CERT_|OPENSSL_|ICU_)/.test(name),
  );
}

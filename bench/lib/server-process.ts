/** A contestant's program: started, known to be ready when it accepts a connection, stopped by its own id. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { treeOf } from "./processes.ts";

export interface ServerOptions {
  readonly argv: readonly string[];
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly port: number;
}

export interface ServerProcess {
  readonly pid: number;
  stop(): Promise<void>;
}

const readyMs = 60_000;
const stopMs = 10_000;
const errorCharsKept = 4000;

const started = new Set<ChildProcess>();

/** Servers must not outlive the benchmark, however it ends short of SIGKILL. */
process.on("exit", () => [...started].flatMap(({ pid }) => (pid === undefined ? [] : treeOf(pid))).forEach(killNow));
process.once("SIGINT", () => process.exit(130));
process.once("SIGTERM", () => process.exit(143));

/** Ends the child and all below it when the benchmark ends, unless it has ended before. */
export function endWithUs(child: ChildProcess): void {
  started.add(child);
  child.once("exit", () => started.delete(child));
}

export async function startServer(options: ServerOptions): Promise<ServerProcess> {
  const [program = "", ...args] = options.argv;
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: { PATH: process.env["PATH"], HOME: process.env["HOME"], NODE_ENV: "production", ...options.env },
    stdio: ["ignore", "ignore", "pipe"],
  });
  endWithUs(child);
  let errors = "";
  child.stderr.on("data", (chunk: Buffer) => (errors = (errors + chunk.toString()).slice(-errorCharsKept)));
  try {
    await untilListening(child, options.port);
  } catch (error) {
    await stopTree(child);
    throw new Error(`${options.argv.join(" ")} did not come up: ${String(error)}\n${errors}`, { cause: error });
  }
  return { pid: child.pid ?? 0, stop: () => stopTree(child) };
}

/** SIGTERM to the program, SIGKILL to whatever is left of its tree after a while. */
export async function stopTree(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const tree = treeOf(child.pid);
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  const timer = setTimeout(() => tree.forEach(killNow), stopMs);
  await exited;
  clearTimeout(timer);
  tree.forEach(killNow);
}

/** A port nobody has at the moment. Programs that cannot be told "any" need one. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

async function untilListening(child: ChildProcess, port: number): Promise<void> {
  const deadline = performance.now() + readyMs;
  while (performance.now() < deadline) {
    if (child.exitCode !== null || child.signalCode !== null)
      throw new Error(`it exited with ${child.exitCode ?? child.signalCode}`);
    if (await accepts(port)) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`nothing listens on port ${port} after ${readyMs} ms`);
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

function killNow(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // it has ended by itself
  }
}

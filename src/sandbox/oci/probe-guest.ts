/**
 * Runs inside a container that was started as instances are, looks at its own walls and says on descriptor 3 which are
 * missing: one JSON line with a list of sentences. Then it does what each line tells it: `read FILE`, `connect ADDRESS`,
 * `resolve NAME`, and at last `fill`, which takes more memory than it has. Stands alone: nothing but Node's own modules is
 * there.
 */
import { resolve4 } from "node:dns/promises";
import { readdirSync, readFileSync, readSync, statfsSync, writeFileSync, writeSync } from "node:fs";
import { connect } from "node:net";
import { hostname, networkInterfaces } from "node:os";

interface Expected {
  readonly id: number;
  readonly tmpBytes: number;
  readonly openFiles: number;
  readonly hostname: string;
}

const channel = 3;
const missing: string[] = [];

function expect(isThere: boolean, what: string): void {
  if (!isThere) missing.push(what);
}

function fails(act: () => unknown): boolean {
  try {
    act();
    return false;
  } catch {
    return true;
  }
}

function fieldOf(text: string, name: string): string {
  return new RegExp(`^${name}:?[ \\t]*(.*)$`, "m").exec(text)?.[1]?.trim() ?? "";
}

function lookAround(expected: Expected): void {
  const status = readFileSync("/proc/self/status", "utf8");
  const limits = readFileSync("/proc/self/limits", "utf8");
  expect(
    fieldOf(status, "Uid")
      .split(/\s+/)
      .every((id) => Number(id) === expected.id),
    "a user of its own",
  );
  expect(
    fieldOf(status, "Gid")
      .split(/\s+/)
      .every((id) => Number(id) === expected.id),
    "a group of its own",
  );
  expect(fieldOf(status, "Groups") === "", "no further groups");
  expect(!/^0 +0 +4294967295$/m.test(readFileSync("/proc/self/uid_map", "utf8").trim()), "a user namespace");
  for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) {
    expect(/^0+$/.test(fieldOf(status, set)), `no capabilities (${set})`);
  }
  expect(fieldOf(status, "NoNewPrivs") === "1", "no_new_privs");
  expect(fieldOf(status, "Seccomp") === "2", "the system call filter");
  expect(/^0 +0 /.test(fieldOf(limits, "Max core file size")), "no core files");
  expect(fieldOf(limits, "Max open files").startsWith(`${expected.openFiles} `), "the limit of open files");
  expect(fieldOf(limits, "Max file size").startsWith(`${expected.tmpBytes} `), "the limit of file size");
  expect(process.pid === 1, "a pid namespace");
  expect(hostname() === expected.hostname, "a host name of its own");
  expect(
    Object.keys(networkInterfaces()).every((name) => name === "lo" || name === "eth0"),
    "a network of its own",
  );
  const groups = readFileSync("/proc/self/cgroup", "utf8").trim().split("\n");
  expect(
    groups.every((line) => line.endsWith(":/")),
    "a cgroup namespace",
  );
  expect(
    fails(() => writeFileSync("/probe", "")),
    "a read-only root",
  );
  expect(
    fails(() => writeFileSync("/var/task/probe", "")),
    "a read-only task folder",
  );
  expect(
    fails(() => writeFileSync("/proc/sys/kernel/hostname", "x")),
    "a read-only /proc/sys",
  );
  expect(
    fails(() => readdirSync("/sys")),
    "no /sys",
  );
  expect(!fails(() => writeFileSync("/tmp/probe", "x")), "a /tmp to write to");
  const tmp = statfsSync("/tmp");
  expect(tmp.blocks * tmp.bsize <= expected.tmpBytes + 4096, "the limit of /tmp");
}

function readLine(): string {
  const bytes = Buffer.alloc(4096);
  for (;;) {
    try {
      const length = readSync(channel, bytes);
      if (length === 0) process.exit(0);
      return bytes.toString("utf8", 0, length).trim();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

/** How the attempt ended. */
function connecting(address: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port: 9, timeout: 10_000 });
    const end = (how: string): void => {
      socket.destroy();
      resolve(how);
    };
    socket.once("connect", () => end("connected"));
    socket.once("timeout", () => end("no answer"));
    socket.once("error", (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
  });
}

async function answerTo(command: string, value: string): Promise<string> {
  try {
    if (command === "read") return readFileSync(value, "utf8");
    if (command === "connect") return await connecting(value);
    if (command === "resolve") return (await resolve4(value)).join(" ");
    return `no command: ${command}`;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

lookAround(JSON.parse(process.argv[2] ?? "") as Expected);
writeSync(channel, `${JSON.stringify(missing)}\n`);
for (let line = readLine(); line !== "fill"; line = readLine()) {
  const [command = "", value = ""] = line.split(" ");
  writeSync(channel, `${JSON.stringify(await answerTo(command, value))}\n`);
}
const held: Buffer[] = [];
for (;;) held.push(Buffer.alloc(1024 * 1024, 1));

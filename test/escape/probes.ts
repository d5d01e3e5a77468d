/**
 * What code that means harm tries. Each probe is a function that stands alone: its text is deployed in an app and called
 * there. It returns what it reached; null or an error means that it was refused. None does harm where it gets through,
 * for the `process` driver lets most of them: files are opened and not written, system calls get arguments that fail later.
 */
export interface Target {
  /** Of this host: the server, and everything it started. */
  readonly serverPid: number;
  readonly pids: readonly number[];
  readonly dataDir: string;
  /** A file of the host that any user may read, and what it holds. */
  readonly hostFile: string;
  readonly secret: string;
  readonly adminUrl: string;
  readonly httpUrl: string;
  /** Sockets that the host listens on: a path, and a name without one (unix(7), abstract). */
  readonly socketPath: string;
  readonly abstractSocket: string;
  /** What answers in the test's own network (`network-world.ts`); "" and 0 where there is none. */
  readonly hostAddress: string;
  readonly hostPort: number;
  readonly metadataAddress: string;
  readonly metadataIpv6: string;
  readonly privateAddress: string;
  /** Where another app's instance listens. */
  readonly neighbourAddress: string;
  readonly neighbourPort: number;
}

export type Verdict = "reached" | "refused";

export interface Probe {
  readonly name: string;
  /** What is tried, to follow "code inside can". */
  readonly about: string;
  /** What `process` does about it when the server is root, as a rule. */
  readonly process: Verdict;
  readonly run: (at: Target) => unknown;
}

export const jsProbes: readonly Probe[] = [
  {
    name: "host-shadow",
    about: "read the host's /etc/shadow",
    process: "reached",
    run: () => process.getBuiltinModule("node:fs").readFileSync("/etc/shadow", "utf8").length,
  },
  {
    name: "host-folders",
    about: "list folders of the host",
    process: "reached",
    run: () => {
      const { existsSync, readdirSync } = process.getBuiltinModule("node:fs");
      // An empty folder may lead to what the sandbox shows further down.
      const holds = (folder: string): boolean =>
        existsSync(folder) && readdirSync(folder, { withFileTypes: true }).some((one) => !one.isDirectory());
      const hosts = ["/home", "/root", "/boot", "/opt", "/srv", "/sys/kernel", "/run", "/bin", "/sbin", "/usr/bin"];
      return hosts.filter(holds).join(" ") || null;
    },
  },
  {
    name: "data-folder",
    about: "list the server's data folder",
    process: "reached",
    run: (at) => process.getBuiltinModule("node:fs").readdirSync(at.dataDir).join(" "),
  },
  {
    name: "host-file",
    about: "read a file of the host that any user may read",
    process: "reached",
    run: (at) => process.getBuiltinModule("node:fs").readFileSync(at.hostFile, "utf8"),
  },
  {
    name: "server-signal",
    about: "send a signal to the server",
    process: "reached",
    run: (at) => process.kill(at.serverPid, 0),
  },
  {
    name: "neighbour-signal",
    about: "send a signal to other instances",
    process: "reached",
    run: (at) => {
      const reached = at.pids.filter((pid) => {
        try {
          return pid !== process.pid && process.kill(pid, 0);
        } catch {
          return false;
        }
      });
      return reached.length > 0 ? reached.join(" ") : null;
    },
  },
  {
    name: "server-environment",
    about: "read the server's environment",
    process: "reached",
    run: (at) => process.getBuiltinModule("node:fs").readFileSync(`/proc/${at.serverPid}/environ`).length || null,
  },
  {
    name: "neighbour-memory",
    about: "open the memory of other instances",
    process: "reached",
    run: (at) => {
      const { openSync } = process.getBuiltinModule("node:fs");
      for (const pid of at.pids) if (pid !== process.pid) return openSync(`/proc/${pid}/mem`, "r");
      return null;
    },
  },
  {
    name: "neighbour-environment",
    about: "read the environment of other instances, with their variables",
    process: "reached",
    run: (at) => {
      const { readFileSync } = process.getBuiltinModule("node:fs");
      const found = at.pids.find((pid) => {
        try {
          return pid !== process.pid && readFileSync(`/proc/${pid}/environ`).length > 0;
        } catch {
          return false;
        }
      });
      return found ?? null;
    },
  },
  {
    name: "neighbour-files",
    about: "list the temporary files of other instances",
    process: "reached",
    run: (at) => {
      const { readdirSync } = process.getBuiltinModule("node:fs");
      const own = process.env["TMPDIR"]?.split("/").at(-1);
      return readdirSync(`${at.dataDir}/run/instances`).find((name) => name !== own) ?? null;
    },
  },
  {
    name: "neighbour-descriptors",
    about: "open the sockets and files that other instances have open",
    process: "reached",
    run: (at) => {
      const { readdirSync, readlinkSync } = process.getBuiltinModule("node:fs");
      for (const pid of at.pids) {
        if (pid === process.pid) continue;
        const [first] = readdirSync(`/proc/${pid}/fd`);
        if (first !== undefined) return readlinkSync(`/proc/${pid}/fd/${first}`);
      }
      return null;
    },
  },
  {
    name: "proc-root",
    about: "walk to the host's root through /proc",
    process: "reached",
    run: (at) => process.getBuiltinModule("node:fs").readdirSync(`/proc/${at.serverPid}/root/root`).length + 1,
  },
  {
    name: "parent",
    about: "see the process that started it",
    process: "reached",
    run: () => (process.ppid === 0 ? null : process.ppid),
  },
  {
    name: "kcore",
    about: "read the kernel's memory or messages",
    process: "reached",
    run: () => {
      const { openSync, readSync } = process.getBuiltinModule("node:fs");
      for (const file of ["/proc/kcore", "/dev/mem", "/proc/kallsyms", "/dev/kmsg"]) {
        try {
          if (readSync(openSync(file, "r"), Buffer.alloc(64)) > 0) return file;
        } catch {
          // The next one.
        }
      }
      return null;
    },
  },
  {
    name: "sysrq",
    about: "open /proc/sysrq-trigger for writing",
    process: "reached",
    run: () => process.getBuiltinModule("node:fs").openSync("/proc/sysrq-trigger", "w"),
  },
  {
    name: "core-pattern",
    about: "open /proc/sys/kernel/core_pattern for writing, by which the host would run a program",
    process: "reached",
    run: () => process.getBuiltinModule("node:fs").openSync("/proc/sys/kernel/core_pattern", "r+"),
  },
  {
    name: "core-limit",
    about: "leave core files",
    process: "reached",
    run: () => {
      const limits = process.getBuiltinModule("node:fs").readFileSync("/proc/self/limits", "utf8");
      const hard = /^Max core file size\s+\S+\s+(\S+)/m.exec(limits)?.[1];
      return hard === "0" ? null : hard;
    },
  },
  {
    name: "block-devices",
    about: "open a disk",
    process: "reached",
    run: () => {
      const { openSync, readdirSync, statSync } = process.getBuiltinModule("node:fs");
      for (const name of readdirSync("/dev")) {
        if (statSync(`/dev/${name}`, { throwIfNoEntry: false })?.isBlockDevice() !== true) continue;
        try {
          return openSync(`/dev/${name}`, "r") && name;
        } catch {
          // The next one.
        }
      }
      return null;
    },
  },
  {
    name: "setuid-root",
    about: "become root",
    process: "reached",
    run: () => {
      process.setuid?.(0);
      return process.getuid?.() === 0 ? "root" : null;
    },
  },
  {
    name: "other-group",
    about: "join another group",
    process: "reached",
    run: () => {
      process.setgroups?.([0]);
      return process.getgroups?.().join(" ");
    },
  },
  {
    name: "priority",
    about: "take processor time before others",
    process: "reached",
    run: () => {
      const os = process.getBuiltinModule("node:os");
      const before = os.getPriority();
      os.setPriority(before - 5);
      os.setPriority(before);
      return "raised";
    },
  },
  {
    name: "root-folder",
    about: "write to the root folder",
    process: "reached",
    run: () => {
      const fs = process.getBuiltinModule("node:fs");
      fs.accessSync("/", fs.constants.W_OK);
      return "writable";
    },
  },
  {
    name: "own-code",
    about: "change its own code for the next one who runs it",
    process: "reached",
    run: () => process.getBuiltinModule("node:fs").openSync(`${process.cwd()}/index.mjs`, "r+"),
  },
  {
    name: "guest-runtime",
    about: "change the runtime that other instances run",
    process: "reached",
    run: () => process.getBuiltinModule("node:fs").openSync(process.argv[1] ?? "", "r+"),
  },
  {
    name: "node-binary",
    about: "replace the Node that other instances run",
    process: "reached",
    run: () => {
      const fs = process.getBuiltinModule("node:fs");
      fs.accessSync(process.execPath.replace(/\/[^/]*$/, ""), fs.constants.W_OK);
      return "writable";
    },
  },
  {
    name: "cgroup",
    about: "open its own limits for writing",
    process: "reached",
    run: () => {
      const { globSync, openSync } = process.getBuiltinModule("node:fs");
      const [file] = globSync("/sys/fs/cgroup/{memory/,}{memory.limit_in_bytes,cgroup.procs}");
      return file === undefined ? null : openSync(file, "r+");
    },
  },
  {
    name: "shell",
    about: "run a program of the host",
    process: "reached",
    run: () => process.getBuiltinModule("node:child_process").execFileSync("/bin/sh", ["-c", "id -u"]).toString(),
  },
  {
    name: "control-api",
    about: "reach the control API on the host's loopback",
    process: "reached",
    run: async (at) => (await fetch(at.adminUrl)).status,
  },
  {
    name: "functions-port",
    about: "reach other apps on the host's loopback",
    process: "reached",
    run: async (at) => (await fetch(at.httpUrl)).status,
  },
  {
    name: "interfaces",
    about: "see the host's network interfaces",
    process: "reached",
    run: (at) => {
      const all = Object.values(process.getBuiltinModule("node:os").networkInterfaces()).flat();
      return all.find((one) => one?.address === at.hostAddress)?.address ?? null;
    },
  },
  {
    name: "unix-socket",
    about: "connect to a socket in the host's folders",
    process: "reached",
    run: (at) =>
      new Promise((resolve, reject) => {
        const socket = process.getBuiltinModule("node:net").connect(at.socketPath);
        socket.once("connect", () => resolve("connected")).once("error", reject);
      }),
  },
  {
    name: "abstract-socket",
    about: "connect to a socket of the host that has no path",
    process: "reached",
    run: (at) =>
      new Promise((resolve, reject) => {
        const socket = process.getBuiltinModule("node:net").connect(`\0${at.abstractSocket}`);
        socket.once("connect", () => resolve("connected")).once("error", reject);
      }),
  },
];

/** What it writes to the platform's socket; the platform ends the instance for it, so this never returns. */
export const forgeries: readonly { readonly name: string; readonly about: string; readonly run: () => unknown }[] = [
  {
    name: "forged-answer",
    about: "a frame that answers an invocation it was not given",
    run: () => {
      // A `head` frame (docs/wire.md) of status 200 for stream 2147483647.
      const frame = Buffer.alloc(12 + 6);
      frame.writeUInt32LE(6, 0);
      frame[4] = 7;
      frame[5] = 3;
      frame.writeUInt32LE(0x7fff_ffff, 8);
      frame.writeUInt16LE(200, 12);
      process.getBuiltinModule("node:fs").writeSync(3, frame);
      return new Promise(() => {});
    },
  },
  {
    name: "second-hello",
    about: "a second greeting, in the name of another app",
    run: () => {
      const text = Buffer.from(JSON.stringify({ protocol: 1, app: "victim", group: "http", pid: 1 }));
      const head = Buffer.alloc(12);
      head.writeUInt32LE(text.length, 0);
      head[4] = 1;
      process.getBuiltinModule("node:fs").writeSync(3, Buffer.concat([head, text]));
      return new Promise(() => {});
    },
  },
  {
    name: "node-frame",
    about: "a frame that only the node writes: one that assigns a deployment",
    run: () => {
      const text = Buffer.from(JSON.stringify({ mode: "serve", app: "victim" }));
      const head = Buffer.alloc(12);
      head.writeUInt32LE(text.length, 0);
      head[4] = 2;
      process.getBuiltinModule("node:fs").writeSync(3, Buffer.concat([head, text]));
      return new Promise(() => {});
    },
  },
  {
    name: "endless-frame",
    about: "a frame of 4 GiB",
    run: () => {
      process.getBuiltinModule("node:fs").writeSync(3, Buffer.alloc(12, 0xff));
      return new Promise(() => {});
    },
  },
  {
    name: "flood",
    about: "frames without end, none of them whole",
    run: () => {
      const { writeSync } = process.getBuiltinModule("node:fs");
      for (;;) {
        try {
          writeSync(3, Buffer.alloc(65_536, 7));
        } catch (error) {
          // The socket is full: the node reads no faster.
          if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
        }
      }
    },
  },
];

export interface SystemCallProbe {
  /** A name that `system-calls.c` knows. */
  readonly name: string;
  readonly about: string;
  readonly process: Verdict;
}

function call(name: string, about: string, verdict: Verdict = "reached"): SystemCallProbe {
  return { name, about, process: verdict };
}

export const systemCallProbes: readonly SystemCallProbe[] = [
  call("mount", "mount a file system"),
  call("umount", "unmount a file system"),
  call("fsopen", "mount a file system in the newer way"),
  call("pivot_root", "change the root of its namespace"),
  call("chroot", "change its root"),
  call("unshare_user", "make a user namespace, in which it would be root"),
  call("unshare_net", "make a network namespace"),
  call("clone_user", "start a process in a new user namespace"),
  call("clone3_user", "start one there by clone3, whose flags a filter cannot see"),
  call("setns", "enter another namespace"),
  call("ptrace", "trace another of its processes"),
  call("process_vm_readv", "read another process's memory"),
  call("pidfd_getfd", "take a descriptor of another process"),
  call("keyctl", "read the session's keyring"),
  call("add_key", "put a key into the kernel"),
  call("bpf", "load a program into the kernel"),
  call("io_uring_setup", "use io_uring"),
  call("userfaultfd", "handle page faults by itself"),
  call("perf_event_open", "count processor events"),
  call("raw_socket", "send packets with a forged sender"),
  call("packet_socket", "read packets of the wire"),
  call("vsock", "speak to the hypervisor"),
  call("alg_socket", "use the kernel's ciphers"),
  call("mknod", "make a device"),
  call("init_module", "load a kernel module"),
  call("kexec_load", "load another kernel"),
  call("reboot", "restart the machine"),
  call("swapon", "add swap"),
  call("open_by_handle_at", "open a file by its inode, past the mounts"),
  call("fanotify_init", "watch all files of the machine"),
  call("settimeofday", "set the clock"),
  call("sethostname", "rename the machine"),
  call("acct", "switch process accounting"),
  call("syslog", "read the kernel's messages"),
  call("iopl", "reach input and output ports"),
  call("no_aslr", "switch address randomisation off"),
  call("tiocsti", "type into a terminal"),
  call("setuid", "become root"),
  call("setuid_file", "leave a file in /tmp that runs as its owner"),
  call("memlock", "pin memory so that it cannot be taken back"),
  call("sched_fifo", "run before every other process of the machine"),
];

import assert from "node:assert/strict";
import { test } from "node:test";
import { ociSpec, type OciSpecInput } from "./oci-spec.ts";
import { seccompProfile } from "./seccomp.ts";

const input: OciSpecInput = {
  argv: ["/usr/local/bin/node", "/main.js"],
  env: { A: "1", B: "x=y" },
  cwd: "/tmp",
  rootFolder: "/run/aloft/1/root",
  bound: [{ source: "/opt/node", target: "/usr/local/bin/node" }],
  ids: { owner: 5000, program: 5001 },
  cgroupsPath: "/aloft-1",
  memoryBytes: 1000,
  cpuShares: 102,
  pidsMax: 64,
  tmpBytes: 500,
  openFilesMax: 10,
  networkPath: null,
};

interface Spec {
  readonly root: { readonly readonly: boolean };
  readonly process: {
    readonly env: readonly string[];
    readonly user: { readonly uid: number; readonly gid: number };
    readonly noNewPrivileges: boolean;
    readonly capabilities: Readonly<Record<string, readonly string[]>>;
    readonly rlimits: readonly { readonly type: string; readonly hard: number }[];
  };
  readonly mounts: readonly {
    readonly destination: string;
    readonly type: string;
    readonly options: readonly string[];
  }[];
  readonly linux: {
    readonly namespaces: readonly { readonly type: string; readonly path?: string }[];
    readonly uidMappings: readonly unknown[];
    readonly resources: { readonly memory: unknown; readonly pids: unknown };
  };
}

const spec = ociSpec(input) as unknown as Spec;

test("an instance shares no namespace with the host", () => {
  const types = spec.linux.namespaces.map(({ type }) => type);
  assert.deepEqual(types.toSorted(), ["cgroup", "ipc", "mount", "network", "pid", "user", "uts"]);
  assert.ok(spec.linux.namespaces.every(({ path }) => path === undefined));
});

test("nobody inside is root on the host, and nobody inside has a capability", () => {
  assert.deepEqual(spec.linux.uidMappings, [
    { containerID: 0, hostID: 5000, size: 1 },
    { containerID: 65_534, hostID: 5001, size: 1 },
  ]);
  assert.equal(spec.process.user.uid, 65_534);
  assert.equal(spec.process.noNewPrivileges, true);
  assert.deepEqual(Object.values(spec.process.capabilities).flat(), []);
});

test("the root of an image alone has capabilities, and hands none on", () => {
  const capabilitiesOf = (uid: number): Readonly<Record<string, readonly string[]>> => {
    const image = { map: [{ inside: 0, outside: 5000 }], uid, gid: 0, groups: [] };
    return (ociSpec({ ...input, image }) as unknown as Spec).process.capabilities;
  };
  assert.deepEqual(Object.values(capabilitiesOf(1000)).flat(), []);
  const { inheritable, ambient, ...others } = capabilitiesOf(0);
  assert.deepEqual([inheritable, ambient], [[], []]);
  const own = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_SETGID", "CAP_SETUID"];
  assert.deepEqual(others, { bounding: own, effective: own, permitted: own });
});

test("everything that is bound is bound read-only, and the root is read-only", () => {
  assert.equal(spec.root.readonly, true);
  const bound = spec.mounts.filter(({ type }) => type === "bind");
  assert.equal(bound.length, 1);
  for (const { options } of bound)
    assert.ok(options.includes("ro") && options.includes("nosuid") && options.includes("nodev"));
  assert.ok(!spec.mounts.some(({ destination }) => destination.startsWith("/sys")));
});

test("memory and swap together are the memory, so there is no swap", () => {
  assert.deepEqual(spec.linux.resources, {
    devices: [{ allow: false, access: "rwm" }],
    memory: { limit: 1000, swap: 1000 },
    cpu: { shares: 102 },
    pids: { limit: 64 },
  });
  const core = spec.process.rlimits.find(({ type }) => type === "RLIMIT_CORE");
  assert.equal(core?.hard, 0);
});

test("variables are what was given", () => {
  assert.deepEqual(spec.process.env, ["A=1", "B=x=y"]);
});

interface Profile {
  readonly defaultAction: string;
  readonly syscalls: readonly { readonly names: readonly string[]; readonly action: string }[];
}

for (const architecture of ["x64", "arm64"]) {
  test(`system calls that leave the wall or only root needs are not on the list of ${architecture}`, () => {
    const { defaultAction, syscalls } = seccompProfile(architecture) as unknown as Profile;
    assert.equal(defaultAction, "SCMP_ACT_ERRNO");
    const allowed = new Set(syscalls.filter(({ action }) => action === "SCMP_ACT_ALLOW").flatMap(({ names }) => names));
    assert.ok(allowed.size > 200, `${allowed.size}`);
    const never = `io_uring_setup io_uring_enter io_uring_register userfaultfd ptrace process_vm_readv process_vm_writev keyctl
      add_key request_key bpf perf_event_open mount umount2 pivot_root fsopen fsmount move_mount open_tree mount_setattr unshare
      setns mknod mknodat chroot reboot init_module finit_module delete_module kexec_load swapon syslog acct quotactl
      name_to_handle_at open_by_handle_at fanotify_init clock_settime settimeofday iopl ioperm modify_ldt kcmp pidfd_getfd
      memfd_secret vmsplice clone3`;
    for (const name of never.split(/\s+/)) assert.ok(!allowed.has(name), name);
  });
}

test("each call stands on one list only", () => {
  const { syscalls } = seccompProfile("x64") as unknown as Profile;
  const plain = syscalls[0]?.names ?? [];
  assert.deepEqual(plain.length, new Set(plain).size);
});

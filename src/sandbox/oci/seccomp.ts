/**
 * Which system calls a program inside may make: an allow-list, everything else fails with EPERM.
 *
 * Source: Docker's default profile (moby `profiles/seccomp/default.json`, the rows that need no capability), which runs
 * the world's images and is kept up by people who follow the kernel. It is narrowed here, because a function is no image:
 *
 *   io_uring_*, userfaultfd          a third of the kernel's local exploits; Node and Python work without them
 *   ptrace, process_vm_*, kcmp       nothing inside has a reason to look into another process
 *   keyctl, add_key, request_key     keyrings are not namespaced
 *   bpf, perf_event_open             kernel code from user space
 *   mount, umount, pivot_root, the   building other walls; with `unshare`, `setns` and namespace flags of `clone` they
 *   new mount calls, unshare, setns  open kernel paths that otherwise only root reaches
 *   mknod, set*id, chroot, quotactl, need capabilities that nobody has inside: refused here before the kernel looks
 *   reboot, swapon, *_module, acct
 *   sched_set*, ioprio_set, mlock*,  a neighbour's processor time and the machine's memory are not the function's to pin
 *   mbind
 *   name_to_handle_at, fanotify_*,   reach files past the mounts
 *   open_by_handle_at
 *   System V and POSIX queues        no runtime uses them; their memory outlives the process that took it
 *   memfd_secret, vmsplice,          rarely used, often broken
 *   remap_file_pages, modify_ldt
 *
 * Exceptions, each with its reason:
 *
 *   clone      without the namespace flags: threads and child processes
 *   clone3     ENOSYS: its flags stand in memory where a filter cannot read them; the C library then uses clone
 *   socket     only unix, IPv4, IPv6, and netlink, by which the C library lists interfaces (`os.networkInterfaces()`);
 *              not vsock, which leaves the namespaces, nor packet, crypto, bluetooth and other rarely walked code
 *   personality  reading it, and Linux's own; not the one that switches address randomisation off
 *   ioctl      not TIOCSTI, which types into another's terminal, nor TIOCLINUX
 */

interface Argument {
  readonly index: number;
  readonly value: number;
  readonly valueTwo?: number;
  readonly op: string;
}

interface Rule {
  readonly names: readonly string[];
  readonly action: string;
  readonly errnoRet?: number;
  readonly args?: readonly Argument[];
}

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET and NEWTIME's neighbour bits, as Docker masks them. */
const namespaceFlags = 0x7e02_0000;
const ENOSYS = 38;
const EPERM = 1;
const socketFamilies = { unix: 1, inet: 2, inet6: 10, netlink: 16 } as const;
const TIOCSTI = 0x5412;
const TIOCLINUX = 0x541c;

const files = `access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64
  fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fremovexattr
  fsetxattr fstat fstatfs fsync ftruncate futimesat getcwd getdents getdents64 getxattr inotify_add_watch inotify_init
  inotify_init1 inotify_rm_watch lchown lgetxattr link linkat listxattr llistxattr lremovexattr lseek lsetxattr lstat mkdir
  mkdirat newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink
  readlinkat readv removexattr rename renameat renameat2 rmdir sendfile setxattr splice stat statfs statx symlink symlinkat
  sync_file_range syncfs tee truncate umask unlink unlinkat utime utimensat utimes write writev`;

const memory = `brk madvise membarrier memfd_create mincore mmap mprotect mremap msync munlock munmap pkey_alloc pkey_free
  pkey_mprotect`;

const waiting = `epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 poll ppoll
  pselect6 select futex futex_waitv get_robust_list set_robust_list`;

const processes = `capget execve execveat exit exit_group fork getcpu getegid geteuid getgid getgroups getpgid getpgrp getpid
  getppid getpriority getresgid getresuid getrlimit getrusage getsid gettid getuid kill pidfd_open pidfd_send_signal
  prctl prlimit64 rseq sched_getaffinity sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min
  sched_getscheduler sched_rr_get_interval sched_yield setpgid setpriority setrlimit setsid set_tid_address tgkill times
  tkill vfork wait4 waitid seccomp landlock_add_rule landlock_create_ruleset landlock_restrict_self`;

/** Those of user and group are what every runtime and libc calls at some point, and what runc calls before the program. */
const identity = "capset setgid setgroups setresgid setresuid setuid";

const signals = `alarm getitimer pause restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
  rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo setitimer sigaltstack signalfd signalfd4`;

const time = `clock_getres clock_gettime clock_nanosleep gettimeofday nanosleep time timer_create timer_delete
  timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime`;

const sockets = `accept accept4 bind connect getpeername getsockname getsockopt listen pipe pipe2 recvfrom recvmmsg recvmsg
  sendmmsg sendmsg sendto setsockopt shutdown socketpair`;

const machine = "getrandom sysinfo uname";

/** By Node's name of the architecture; a filter for any other has no list here, so there is no oci sandbox on it. */
export const seccompArchitectures: Readonly<Record<string, { readonly name: string; readonly calls: string }>> = {
  x64: { name: "SCMP_ARCH_X86_64", calls: "arch_prctl" },
  arm64: { name: "SCMP_ARCH_AARCH64", calls: "" },
};

export function seccompProfile(architecture: string = process.arch): Record<string, unknown> {
  const native = seccompArchitectures[architecture];
  if (native === undefined) throw new Error(`there is no list of system calls for ${architecture}`);
  const plain = [files, memory, waiting, processes, identity, signals, time, sockets, machine, native.calls];
  const rules: Rule[] = [
    { names: plain.flatMap(namesOf), action: "SCMP_ACT_ALLOW" },
    {
      names: ["clone"],
      action: "SCMP_ACT_ALLOW",
      args: [{ index: 0, value: namespaceFlags, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }],
    },
    { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: ENOSYS },
    ...Object.values(socketFamilies).map((family) => allowWhen("socket", 0, family)),
    ...[0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff].map((persona) => allowWhen("personality", 0, persona)),
    ...ioctlRules(),
  ];
  // Only the machine's own calling convention: the 32-bit one has other numbers and its own bugs.
  return { defaultAction: "SCMP_ACT_ERRNO", defaultErrnoRet: EPERM, architectures: [native.name], syscalls: rules };
}

function namesOf(list: string): string[] {
  return list.split(/\s+/).filter((name) => name !== "");
}

function allowWhen(name: string, index: number, value: number): Rule {
  return { names: [name], action: "SCMP_ACT_ALLOW", args: [{ index, value, op: "SCMP_CMP_EQ" }] };
}

/** Two conditions on one argument are no single rule: the numbers below, between and above those that are refused. */
function ioctlRules(): Rule[] {
  const between = { index: 1, value: TIOCSTI, op: "SCMP_CMP_GT" } as const;
  const rule = (args: readonly Argument[]): Rule => ({ names: ["ioctl"], action: "SCMP_ACT_ALLOW", args });
  return [
    rule([{ index: 1, value: TIOCSTI, op: "SCMP_CMP_LT" }]),
    rule([{ index: 1, value: TIOCLINUX, op: "SCMP_CMP_GT" }]),
    // libseccomp takes one condition for each argument; what lies between the two is nine terminal calls.
    ...[0x5413, 0x5414, 0x5415, 0x5416, 0x5417, 0x5418, 0x5419, 0x541a, 0x541b].map((value) =>
      rule([{ ...between, value, op: "SCMP_CMP_EQ" }]),
    ),
  ];
}

// One system call by name: prints "reached" when the kernel did it or looked at its arguments, "refused ERRNO" when it was
// turned away first. Arguments are such that nothing lasts where it is not.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static char zeros[4096];

static long childOf(long pid) {
  if (pid == 0) _exit(0);
  if (pid > 0) waitpid((pid_t)pid, NULL, 0);
  return pid;
}

// What only a root would try; an image's may be root inside.
static long attemptAsRoot(const char *name) {
  const char *own = "/tmp/aloft-own";
  if (!strcmp(name, "chown_stranger")) return chown(close(creat(own, 0600)) ? "" : own, 4242424, -1);
  if (!strcmp(name, "be_stranger")) return setuid(4242424);
  if (!strcmp(name, "join_stranger")) return setgroups(1, (gid_t[]){4242424});
  if (!strcmp(name, "foreign_file")) return open("/opt/hidden", O_RDONLY);
  if (!strcmp(name, "give_capability")) {
    unsigned int capabilities[5] = {0x02000001, 1 << 21 /* SYS_ADMIN */};
    return setxattr(close(creat(own, 0700)) ? "" : own, "security.capability", capabilities, sizeof capabilities, 0);
  }
  if (!strcmp(name, "setuid_file")) {
    struct statvfs where;
    int isHeeded = !chmod("/bin/system-calls", 04755) && !statvfs("/bin/system-calls", &where) && !(where.f_flag & ST_NOSUID);
    errno = EPERM;
    return isHeeded ? 0 : -1;
  }
  if (!strcmp(name, "more_files")) {
    struct rlimit most;
    getrlimit(RLIMIT_NOFILE, &most);
    most.rlim_max += 1;
    return setrlimit(RLIMIT_NOFILE, &most);
  }
  if (!strcmp(name, "be_first")) return setpriority(PRIO_PROCESS, 0, -5);
  if (!strcmp(name, "interface")) {
    struct ifreq loopback = {.ifr_name = "lo"};
    return ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCSIFFLAGS, &loopback);
  }
  if (!strcmp(name, "resolver")) return open("/etc/resolv.conf", O_WRONLY);
  if (!strcmp(name, "core_pattern")) return open("/proc/sys/kernel/core_pattern", O_WRONLY);
  if (!strcmp(name, "first_port")) return open("/proc/sys/net/ipv4/ip_unprivileged_port_start", O_WRONLY);
  if (!strcmp(name, "user_map")) return open("/proc/self/uid_map", O_WRONLY) < 0 ? -1 : write(open("/proc/self/uid_map", O_WRONLY), "0 0 1", 5);
  if (!strcmp(name, "more_capabilities")) {
    struct __user_cap_header_struct version = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct all[2] = {{~0u, ~0u, ~0u}, {~0u, ~0u, ~0u}};
    return syscall(SYS_capset, &version, all);
  }
  if (!strcmp(name, "keep_capabilities")) {
    // Inheritable ones would outlive the change to another user.
    struct __user_cap_header_struct version = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct own[2];
    syscall(SYS_capget, &version, own);
    own[0].inheritable = 1u << CAP_SYS_ADMIN;
    return syscall(SYS_capset, &version, own);
  }
  errno = EDOM;
  return -2;
}

static long attempt(const char *name) {
  if (!strcmp(name, "mount")) {
    char folder[] = "/tmp/aloft-mount-XXXXXX";
    if (mkdtemp(folder) == NULL) return -1;
    long done = syscall(SYS_mount, "none", folder, "tmpfs", 0, NULL);
    int error = errno;
    if (done == 0) syscall(SYS_umount2, folder, 0);
    rmdir(folder);
    errno = error;
    return done;
  }
  if (!strcmp(name, "umount")) return syscall(SYS_umount2, "/nowhere", 0);
  if (!strcmp(name, "fsopen")) return syscall(SYS_fsopen, "tmpfs", 0);
  if (!strcmp(name, "pivot_root")) return syscall(SYS_pivot_root, "/nowhere", "/nowhere");
  if (!strcmp(name, "chroot")) return syscall(SYS_chroot, "/");
  if (!strcmp(name, "unshare_user")) return syscall(SYS_unshare, CLONE_NEWUSER);
  if (!strcmp(name, "unshare_net")) return syscall(SYS_unshare, CLONE_NEWNET);
  if (!strcmp(name, "clone_user")) return childOf(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
  if (!strcmp(name, "clone3_user")) {
    struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
    return childOf(syscall(SYS_clone3, &args, sizeof args));
  }
  if (!strcmp(name, "setns")) return syscall(SYS_setns, open("/proc/self/ns/net", O_RDONLY), 0);
  if (!strcmp(name, "ptrace")) return syscall(SYS_ptrace, 0 /* TRACEME */, 0, 0, 0);
  if (!strcmp(name, "process_vm_readv")) {
    struct iovec local = {zeros, 1}, remote = {zeros, 1};
    return syscall(SYS_process_vm_readv, getpid(), &local, 1, &remote, 1, 0);
  }
  if (!strcmp(name, "pidfd_getfd")) return syscall(SYS_pidfd_getfd, syscall(SYS_pidfd_open, getppid(), 0), 0, 0);
  if (!strcmp(name, "keyctl")) return syscall(SYS_keyctl, 0 /* GET_KEYRING_ID */, -3, 1);
  if (!strcmp(name, "add_key")) return syscall(SYS_add_key, "user", "aloft", "x", 1, -2 /* of the process */);
  if (!strcmp(name, "bpf")) {
    int map[18] = {1 /* hash */, 4, 4, 1};
    return syscall(SYS_bpf, 0 /* MAP_CREATE */, map, sizeof map);
  }
  if (!strcmp(name, "io_uring_setup")) return syscall(SYS_io_uring_setup, 1, zeros);
  if (!strcmp(name, "userfaultfd")) return syscall(SYS_userfaultfd, 0);
  if (!strcmp(name, "perf_event_open")) {
    unsigned int event[32] = {1 /* software */, 128};
    return syscall(SYS_perf_event_open, event, 0, -1, -1, 0);
  }
  if (!strcmp(name, "raw_socket")) return socket(AF_INET, SOCK_RAW, 1);
  if (!strcmp(name, "packet_socket")) return socket(AF_PACKET, SOCK_RAW, 0);
  if (!strcmp(name, "vsock")) return socket(AF_VSOCK, SOCK_STREAM, 0);
  if (!strcmp(name, "alg_socket")) return socket(AF_ALG, SOCK_SEQPACKET, 0);
  if (!strcmp(name, "mknod")) {
    char file[] = "/tmp/aloft-device";
    long done = syscall(SYS_mknodat, AT_FDCWD, file, S_IFCHR | 0600, makedev(1, 3));
    int error = errno;
    unlink(file);
    errno = error;
    return done;
  }
  if (!strcmp(name, "init_module")) return syscall(SYS_init_module, zeros, 0, "");
  if (!strcmp(name, "kexec_load")) return syscall(SYS_kexec_load, 0, 0, NULL, 0xffff);
  if (!strcmp(name, "reboot")) return syscall(SYS_reboot, 0, 0, 0, 0);
  if (!strcmp(name, "swapon")) return syscall(SYS_swapon, "/nowhere", 0);
  if (!strcmp(name, "open_by_handle_at")) {
    int handle[8] = {8, 1};
    return syscall(SYS_open_by_handle_at, open("/", O_RDONLY), handle, O_RDONLY);
  }
  if (!strcmp(name, "fanotify_init")) return syscall(SYS_fanotify_init, 0, 0);
  if (!strcmp(name, "settimeofday")) return syscall(SYS_settimeofday, NULL, NULL);
  if (!strcmp(name, "sethostname")) {
    char same[256];
    gethostname(same, sizeof same);
    return syscall(SYS_sethostname, same, strlen(same));
  }
  if (!strcmp(name, "acct")) return syscall(SYS_acct, "/nowhere");
  if (!strcmp(name, "syslog")) return syscall(SYS_syslog, 10 /* SIZE_BUFFER */, NULL, 0);
  if (!strcmp(name, "iopl")) {
#ifdef SYS_iopl
    return syscall(SYS_iopl, 3);
#else
    errno = ENOSYS;
    return -1;
#endif
  }
  if (!strcmp(name, "no_aslr")) return personality(ADDR_NO_RANDOMIZE);
  if (!strcmp(name, "tiocsti")) return ioctl(0, TIOCSTI, "x");
  if (!strcmp(name, "setuid")) return setuid(0) == 0 && getuid() == 0 ? 0 : -1;
  if (!strcmp(name, "setuid_file")) {
    char file[] = "/tmp/aloft-setuid-XXXXXX";
    int made = mkstemp(file);
    struct statvfs where;
    int isHeeded = fchmod(made, 04755) == 0 && fstatvfs(made, &where) == 0 && !(where.f_flag & ST_NOSUID);
    unlink(file);
    errno = EPERM;
    return isHeeded ? 0 : -1;
  }
  if (!strcmp(name, "memlock")) return syscall(SYS_mlock, zeros, sizeof zeros);
  if (!strcmp(name, "sched_fifo")) {
    struct sched_param first = {.sched_priority = 1};
    return syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &first);
  }
  if (!strncmp(name, "root_", 5)) return attemptAsRoot(name + 5);
  errno = EDOM;
  return -2;
}

int main(int count, char **words) {
  errno = 0;
  long done = attempt(count > 1 ? words[1] : "");
  if (done == -2) {
    printf("unknown");
    return 2;
  }
  // A user without a number outside is no valid argument; what is bound read-only stays so for every root.
  int isInvalid = errno == EINVAL && (!strcmp(words[1], "setuid") || strstr(words[1], "stranger") != NULL);
  int isReadOnly = errno == EROFS && !strncmp(words[1], "root_", 5);
  int isRefused = done == -1 && (errno == EPERM || errno == EACCES || errno == ENOSYS || isInvalid || isReadOnly);
  if (isRefused) printf("refused %s", strerrorname_np(errno));
  else printf("reached");
  return 0;
}

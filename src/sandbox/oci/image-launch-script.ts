/**
 * The script that comes before the runtime when it starts an image (`image-root.ts`), in perl: one process that makes the
 * system calls itself. With a shell, which starts a program for each step, the same took twice the processor time. Perl's
 * POSIX library is left out, because loading it takes longer than starting perl.
 *
 * Arguments: 1 folder of the pipes, 2 and 3 whose they are, 4 network namespace (none: ""), 5 the image's files,
 * 6 mount points, 7 map of owners, 8 and 9 bytes and files of the writable layer, 10 how
 * the socket shows that is waited for (none: ""), then the runtime and its arguments.
 */

/** Of system calls whose numbers differ; the newer ones below are the same everywhere. */
const numbers: Readonly<
  Record<string, { readonly mknodat: number; readonly mount: number; readonly unshare: number; readonly setns: number }>
> = {
  x64: { mknodat: 259, mount: 165, unshare: 272, setns: 308 },
  arm64: { mknodat: 33, mount: 40, unshare: 97, setns: 268 },
};

/** null: nobody has looked up the numbers for this machine. */
export function launchScript(architecture: string): string | null {
  const own = numbers[architecture];
  return own === undefined
    ? null
    : `my ($MKNODAT, $MOUNT, $UNSHARE, $SETNS) = (${own.mknodat}, ${own.mount}, ${own.unshare}, ${own.setns});${body}`;
}

const body = `
my ($pipes, $uid, $gid, $network, $lower, $mounts, $map, $bytes, $files, $mark) = splice(@ARGV, 0, 10);
my ($none, $tmpfs, $overlay, $slash) = ("", "tmpfs", "overlay", "/");
my ($work, $root) = ("$mounts/work", "$mounts/root");
my ($low, $upper, $working) = ("$work/lower", "$work/upper", "$work/work");
sub call { my $what = shift; my $number = shift; my $result = syscall($number, @_); $result < 0 and die "$what: $!\\n"; $result }

# The pipes: whoever reads them says so before anything is written.
for ("out", "err") {
  my $pipe = "$pipes/$_";
  call("pipe", $MKNODAT, -100, $pipe, 010600, 0);
  chown($uid, $gid, $pipe) or die "chown: $!\\n";
}
open(my $out, "+<", "$pipes/out") or die "out: $!\\n";
open(my $err, "+<", "$pipes/err") or die "err: $!\\n";
syswrite(STDOUT, "ready\\n");
sysread(STDIN, my $go, 3) or exit 1;
open(STDIN, "<", "/dev/null");
open(STDOUT, ">&", $out);
open(STDERR, ">&", $err);

# The program may listen on any port of its network, which is never the host's.
my $pid = fork() // die "fork: $!\\n";
if ($pid == 0) {
  exit 0 if $network eq "";
  open(my $space, "<", $network) or die "network: $!\\n";
  (stat($space))[1] == (stat("/proc/self/ns/net"))[1] and die "the network is the host's\\n";
  call("setns", $SETNS, fileno($space), 0x40000000);
  open(my $first, ">", "/proc/sys/net/ipv4/ip_unprivileged_port_start") or die "ports: $!\\n";
  syswrite($first, "0");
  # Whom the program asks first may not be there yet; whoever waits in vain is ended by the server.
  while ($mark ne "") {
    open(my $sockets, "<", "/proc/self/net/tcp") or die "sockets: $!\\n";
    last if grep { index($_, $mark) >= 0 } <$sockets>;
    select(undef, undef, undef, 0.002);
  }
  exit 0;
}
waitpid($pid, 0);
$? == 0 or die "the network cannot be entered\\n";

# Mounts of its own, which nobody else sees: CLONE_NEWNS; MS_REC and MS_PRIVATE.
call("unshare", $UNSHARE, 0x20000);
call("private", $MOUNT, $none, $slash, $none, 0x44000, 0);
my $options = "size=$bytes,nr_inodes=$files,mode=0700";
call("tmpfs", $MOUNT, $tmpfs, $work, $tmpfs, 6, $options);
mkdir($_, 0700) or die "mkdir: $!\\n" for $low, $upper, $working;

# A user namespace that nobody lives in says the owners.
pipe(my $said, my $say) and pipe(my $wait, my $end) or die "pipe: $!\\n";
$pid = fork() // die "fork: $!\\n";
if ($pid == 0) {
  close($said); close($end);
  call("user namespace", $UNSHARE, 0x10000000);
  syswrite($say, "1");
  sysread($wait, my $over, 1);
  exit 0;
}
close($say); close($wait);
sysread($said, my $is, 1) or die "no user namespace\\n";
for my $kind ("uid_map", "gid_map") {
  open(my $file, ">", "/proc/$pid/$kind") or die "$kind: $!\\n";
  defined(syswrite($file, $map)) or die "$kind: $!\\n";
}
open(my $owners, "<", "/proc/$pid/ns/user") or die "owners: $!\\n";
my $tree = call("open_tree", 428, -100, $lower, 02000001); # a copy, closed on exec
my $attributes = pack("QQQQ", 0x100007, 0, 0, fileno($owners)); # owners mapped, read-only, no setuid, no devices
call("mount_setattr", 442, $tree, $none, 0x1000, $attributes, 32);
call("move_mount", 429, $tree, $none, -100, $low, 4);
close($end);
waitpid($pid, 0);

# The root of the whole has the attributes of the upper one.
my @top = stat($low);
chown($top[4], $top[5], $upper) and chmod($top[2] & 07777, $upper) or die "upper: $!\\n";
my $layers = "lowerdir=$low,upperdir=$upper,workdir=$working";
call("overlay", $MOUNT, $overlay, $root, $overlay, 6, $layers);
exec(@ARGV) or die "exec: $!\\n";
`;

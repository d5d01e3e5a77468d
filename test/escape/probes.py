"""What Python code that means harm tries; python-probes.ts lists it. Each returns what it reached, None for nothing."""

import errno
import json
import os
import socket
import subprocess


def py_shadow(at):
    with open("/etc/shadow") as file:
        return len(file.read())


def py_server_memory(at):
    return os.open(f"/proc/{at['serverPid']}/mem", os.O_RDONLY)


def py_neighbour_environment(at):
    for pid in at["pids"]:
        if pid != os.getpid():
            with open(f"/proc/{pid}/environ", "rb") as file:
                if file.read(1):
                    return pid
    return None


def py_library(at):
    return os.open(os.__file__, os.O_RDWR)


def py_become_root(at):
    os.setuid(0)
    return "root" if os.getuid() == 0 else None


def py_unshare(at):
    # Of a process with one thread.
    return in_child(lambda: libc_call("unshare", 0x10000000 | 0x40000000))


def py_packet_socket(at):
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW).fileno()


def py_raw_socket(at):
    return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW).fileno()


def py_other_scheduling(at):
    # An instance that stays before everything else would be a nuisance where it is allowed.
    return in_child(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)))


def py_mount(at):
    folder = os.environ.get("TMPDIR", "/tmp") + "/mounted"
    os.mkdir(folder)
    try:
        reached = libc_call("mount", b"none", folder.encode(), b"tmpfs", 0, None)
        libc_call("umount", folder.encode())
        return reached
    finally:
        os.rmdir(folder)


def py_ptrace(at):
    # PTRACE_SEIZE, which does not stop it; the end of the child lets it go.
    pid = os.getppid() or at["serverPid"]
    return in_child(lambda: libc_call("ptrace", 0x4206, pid, None, None))


def py_shell(at):
    return subprocess.run(["/bin/sh", "-c", "id -u"], capture_output=True, check=True).stdout.decode()


def in_child(act):
    child = os.fork()
    if child == 0:
        try:
            act()
            os._exit(0)
        except OSError as error:
            os._exit(error.errno)
    _, status = os.waitpid(child, 0)
    number = os.waitstatus_to_exitcode(status)
    if number > 0:
        raise OSError(number, os.strerror(number))
    return "done"


def libc_call(name, *arguments):
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return "done"


def handler(event, context):
    asked = json.loads(event["body"])
    try:
        reached = globals()[asked["name"]](asked["target"])
        answer = {"verdict": "refused", "how": "nothing there"}
        if reached is not None:
            answer = {"verdict": "reached", "how": str(reached)}
    except OSError as error:
        answer = {"verdict": "refused", "how": errno.errorcode.get(error.errno, str(error))}
    except Exception as error:
        answer = {"verdict": "refused", "how": repr(error)}
    return {"statusCode": 200, "body": json.dumps(answer)}

/** What `probes.py` tries, by its names there. */
import type { SystemCallProbe, Verdict } from "./probes.ts";

function probe(name: string, about: string, process: Verdict = "reached"): SystemCallProbe {
  return { name, about, process };
}

export const pythonProbes: readonly SystemCallProbe[] = [
  probe("py_shadow", "read the host's /etc/shadow from Python"),
  probe("py_server_memory", "open the server's memory from Python"),
  probe("py_neighbour_environment", "read other instances' environment from Python"),
  probe("py_library", "change the library that other Python instances import"),
  probe("py_become_root", "become root from Python"),
  probe("py_unshare", "make namespaces from Python"),
  probe("py_packet_socket", "read packets of the wire from Python"),
  probe("py_raw_socket", "send packets with a forged sender from Python"),
  probe("py_other_scheduling", "run before every other process from Python"),
  probe("py_mount", "mount a file system by ctypes"),
  probe("py_ptrace", "trace the process that started it by ctypes"),
  probe("py_shell", "run a program of the host from Python"),
];

/**
 * The server comes before what runs in containers. Each instance's group has the processor weight of one thread of the usual
 * nice value (1024), so that beside ten busy instances the thread through which every request goes would have an eleventh of a
 * core. At -10 it has the weight of nine of them, and is woken at once; what it does is bounded, what they do is not.
 */
import { readdirSync } from "node:fs";
import { getPriority, setPriority } from "node:os";

const serverNice = -10;

/** All threads that there are; later ones are as the thread that makes them. Nothing where that is not allowed. */
export function raiseServer(): void {
  for (const thread of readdirSync("/proc/self/task")) {
    try {
      setPriority(Number(thread), serverNice);
    } catch {
      return;
    }
  }
}

/**
 * A command that runs at this nice value, whatever the server's own is. nice(1) and not a call before or after: all threads of the
 * program have the value from the first on, and until it has begun, for which Node's thread waits, it is as urgent as the server.
 */
export function atNice(nice: number, command: readonly string[]): readonly string[] {
  const difference = nice - getPriority();
  return difference === 0 ? command : ["nice", "-n", String(difference), ...command];
}

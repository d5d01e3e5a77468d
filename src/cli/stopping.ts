/**
 * Ctrl-C and SIGTERM for the commands that run a server: the first asks it to finish, a second ends the process at once.
 * One Ctrl-C often arrives several times: the terminal sends it to every process of the group, and npm and a launcher in
 * between hand it on. What comes within half a second is therefore the same wish.
 */
import { systemClock } from "../lib/clock.ts";
import type { Clock } from "../lib/clock.ts";

const sameWishMs = 500;

export interface Stopping {
  /** Aborts at the first signal. */
  readonly signal: AbortSignal;
  /** Hands the signals back to Node. */
  close(): void;
}

export function listenForStop(onSecond: () => void = () => process.exit(130), clock: Clock = systemClock): Stopping {
  const controller = new AbortController();
  let firstAtMs = 0;
  const listener = () => {
    if (!controller.signal.aborted) {
      firstAtMs = clock.monotonicMs();
      controller.abort();
    } else if (clock.monotonicMs() - firstAtMs > sameWishMs) {
      onSecond();
    }
  };
  const names = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const name of names) process.on(name, listener);
  return {
    signal: controller.signal,
    close: () => {
      for (const name of names) process.off(name, listener);
    },
  };
}

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** Which instance gets a request, which ones end because they idle, and which ones end because memory is needed. */

/** What the choices look at; the pool's own instance record has these fields. */
export interface ChoosableInstance {
  readonly inFlight: number;
  /** Ready, not draining, answering pings. */
  readonly accepting: boolean;
  /** Monotonic time since when nothing is in flight; of no meaning while something is. */
  readonly idleSinceMs: number;
  readonly memoryBytes: number;
  /** One of its group's `minInstances`: only a retired deployment ends it. */
  readonly kept: boolean;
}

/**
 * The instance for the next request: the one with the fewest in flight, the first of the list among equals; null when
 * all are full. On the path of every request: no allocation, and the usual case ends at the first element.
 *
 * The fewest, because requests in one instance share one thread: filling one up first would queue CPU-bound work behind
 * each other beside idle cores. The first among equals, because that packs all the same: traffic that never has more
 * than k requests at once touches only the first k instances, so the others idle and end, and the busy ones stay warm.
 */
export function pickInstance<T extends ChoosableInstance>(instances: readonly T[], concurrency: number): T | null {
  let best: T | null = null;
  let fewest = concurrency;
  for (let index = 0; index < instances.length; index += 1) {
    const instance = instances[index];
    if (instance === undefined || !instance.accepting || instance.inFlight >= fewest) continue;
    if (instance.inFlight === 0) return instance;
    best = instance;
    fewest = instance.inFlight;
  }
  return best;
}

/**
 * The instances to drain now, longest idle first. One ends when it has itself idled for the keep-alive and the group
 * keeps `desired` without it. When every instance has idled that long there is no load to keep anything for, whatever
 * the autoscaler's longer window remembers: all go, down to `minInstances`.
 */
export function idleVictims<T extends ChoosableInstance>(
  instances: readonly T[],
  desired: number,
  nowMs: number,
  policy: { readonly minInstances: number; readonly keepAliveMs: number },
): T[] {
  const accepting = instances.filter((instance) => instance.accepting);
  const expired = accepting.filter((instance) => isIdleFor(instance, policy.keepAliveMs, nowMs));
  const keep = expired.length === accepting.length ? 0 : desired;
  const surplus = accepting.length - Math.max(keep, policy.minInstances);
  if (surplus <= 0 || expired.length === 0) return [];
  return expired.sort(byIdleTime).slice(0, surplus);
}

/**
 * The instances to end so that `needBytes` more fit into the budget, least recently used first; [] when they fit as it is,
 * null when even all of them would not do (then none is ended in vain). `instances` are all of the node.
 */
export function chooseEvictions<T extends ChoosableInstance>(
  instances: readonly T[],
  needBytes: number,
  budgetBytes: number,
): T[] | null {
  let overBytes = needBytes - budgetBytes;
  for (const instance of instances) overBytes += instance.memoryBytes;
  if (overBytes <= 0) return [];
  const chosen: T[] = [];
  const idle = instances.filter((instance) => instance.inFlight === 0 && instance.accepting && !instance.kept);
  for (const instance of idle.sort(byIdleTime)) {
    chosen.push(instance);
    overBytes -= instance.memoryBytes;
    if (overBytes <= 0) return chosen;
  }
  return null;
}

function isIdleFor(instance: ChoosableInstance, ms: number, nowMs: number): boolean {
  return instance.inFlight === 0 && nowMs - instance.idleSinceMs >= ms;
}

function byIdleTime(a: ChoosableInstance, b: ChoosableInstance): number {
  return a.idleSinceMs - b.idleSinceMs;
}

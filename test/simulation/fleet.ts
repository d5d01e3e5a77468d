/**
 * The nodes of a seed and what befalls them while work comes in: they crash at any of their awaits and come back, or are stopped
 * in peace; the wall clock steps. One seed in five has several nodes on one store, which lose shards and leases to each other.
 */
import type { LiveDeployment } from "../../src/contract/deployment.ts";
import { type Handle, type NodeOptions, type Running, type SimulatedNode, startNode } from "./node.ts";
import { type Faults, noFaults, someFaults, type World } from "./world.ts";

export interface Fleet {
  readonly faults: Faults;
  readonly counts: Record<"crashes" | "stops" | "clockSteps" | "clusters", number>;
  publish(live: LiveDeployment): void;
  /** From here on nothing goes wrong; time that the wall clock has lost is made up for. */
  calm(): Promise<void>;
  close(): Promise<void>;
}

/** `troubleMsMax`: the longest time between two stops or steps of the clock. */
export function keepRunning(world: World, first: LiveDeployment, handle: Handle, troubleMsMax = 20_000): Fleet {
  const faults = someFaults(world);
  const isAlone = world.chance(0.8);
  const isSteady = world.chance(0.4);
  const running: Running = new Map();
  const counts = { crashes: 0, stops: 0, clockSteps: 0, clusters: isAlone ? 0 : 1 };
  /** Those that are up or on their way up; undefined while one is down. */
  const up: (SimulatedNode | undefined)[] = [];
  let live = first;
  /** From here on nothing goes wrong any more. */
  const calmed = new AbortController();
  const isCalm = (): boolean => calmed.signal.aborted;
  /** The furthest that the wall clock has ever been ahead. */
  let latestMs = 0;

  function start(at: number): void {
    const options: NodeOptions = { faults: isCalm() ? noFaults : faults, isAlone, live, handle, running };
    up[at] = startNode(world, options);
  }

  function fell(): void {
    if (isCalm()) return;
    const at = world.pick(up.length);
    const node = up[at];
    if (node !== undefined) {
      up[at] = undefined;
      counts.crashes += 1;
      node.crash();
      world.schedule(world.pick(3_000), () => start(at));
    }
    world.afterEvents(world.pick(world.one(isAlone ? [30, 300, 3_000] : [300, 3_000, 20_000])), fell);
  }

  /** In peace, or it dies on the way. */
  async function stop(node: SimulatedNode): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (world.chance(0.3)) {
      world.afterEvents(world.pick(100), () => {
        node.crash();
        resolve();
      });
    }
    await Promise.race([node.close(), promise]);
  }

  async function trouble(): Promise<void> {
    while (!isCalm()) {
      await world.sleep(world.pick(troubleMsMax));
      if (isCalm()) return;
      if (!isSteady && world.chance(0.3)) {
        counts.clockSteps += 1;
        // Forward by less than a commit's `once` is kept: whoever tries again after that may do it twice (rule 2).
        world.wallOffsetMs += world.one([-3_600_000, 3_000_000, 30_000]);
        latestMs = Math.max(latestMs, world.wallOffsetMs);
      }
      const at = world.pick(up.length);
      const node = up[at];
      if (node?.isUp !== true || !world.chance(0.2)) continue;
      up[at] = undefined;
      counts.stops += 1;
      await stop(node);
      start(at);
    }
  }

  const nodes = isAlone ? 1 : 3;
  for (let at = 0; at < nodes; at += 1) start(at);
  world.afterEvents(world.pick(1_000), fell);
  const troubled = trouble();
  return {
    faults,
    counts,
    publish(next) {
      live = next;
      for (const node of up) node?.publish(next);
    },
    async calm() {
      calmed.abort();
      await troubled;
      while (up.includes(undefined)) await world.sleep(100);
      for (const node of up) await node?.started;
      world.calm();
      world.wallOffsetMs = latestMs;
    },
    async close() {
      for (const node of up) await node?.close();
    },
  };
}

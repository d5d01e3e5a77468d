/**
 * How many instances a group should have: Knative's pod autoscaler (serving@98e5ef90, pkg/autoscaler/scaling/
 * autoscaler.go), driven by a tick of 250 ms in the pool's own process.
 *
 *   stable  average of the last 60 s / target: follows the load slowly, goes down by at most half at a time
 *   panic   average of the last 6 s / target: when it asks for twice what is ready, the group panics. In panic the
 *           number never goes down; panic ends 60 s after the last time the short window asked for twice as much.
 *
 * What differs from Knative:
 * - Load is what instances work on plus what waits for one. Nothing is scraped.
 * - The target is 0.7 of the concurrency, but all of it when the concurrency is 1: the slack covers the seconds that a
 *   pod takes to start, while an instance takes milliseconds, is started on arrival (`wantsInstanceNow`), and stays for
 *   its keep-alive. 0.7 would hold 10 processes for 7 requests.
 * - A second signal, event-loop utilisation, gives CPU-bound work its parallelism: see `loopWants`.
 * - Machines end: see `slotsWorthHaving`.
 *
 * A group with neither instances nor requests needs no tick; its first request asks `wantsInstanceNow`.
 */
import { addToWindow, createLoadWindow, windowAverage } from "./load-window.ts";
import type { LoadWindow } from "./load-window.ts";

export const tickMs = 250;

const stableWindowMs = 60_000;
const panicWindowMs = 6_000; // 10 % of the stable window
const panicThreshold = 2; // short window asks for this many times what is ready
const targetUse = 0.7; // of an instance's concurrency
const upRate = 1000; // at most this many times the ready instances in one tick
const downRate = 2; // at most to half the ready instances in one tick
/** An event loop above this has no time left: more requests in it only wait for each other. */
const loopFull = 0.9;
/** Below this an instance mostly waits for others (a database, a peer), so another one costs little and helps. */
const loopWorking = 0.5;
/** Idle cores below this are noise. */
const spareWorthHaving = 0.5;
/** Averages come from 32-bit sums: without this, 44.8 / 44.8 could ask for two. */
const rounding = 1e-4;

export interface ScalePolicy {
  readonly concurrency: number;
  readonly minInstances: number;
  readonly maxInstances: number;
  /** CPU cores of the machine. */
  readonly cores: number;
}

export interface ScaleSample {
  /** Requests in instances plus requests waiting: the average since the last tick (`takeLoad`), else the number now. */
  readonly load: number;
  /** Sum of the event-loop utilisation (0 to 1) of the ready instances, since the last tick. */
  readonly loopUse: number;
  /** Instances that take work now. */
  readonly ready: number;
  /**
   * Cores' worth of CPU that another instance could use; Infinity when unknown. To be given as 0 while the server's own
   * event loop is full, for then it is the door that makes requests pile up and no instance can help.
   */
  readonly spareCores: number;
}

/** Owned by the caller and changed in place by `decideScale`: about 700 bytes, nothing allocated on a tick. */
export interface ScalerState {
  readonly window: LoadWindow;
  /** When the short window last asked for twice as much; -1 when not in panic. */
  panicAtMs: number;
  /** Highest number decided in this panic. */
  panicMost: number;
}

/**
 * A group that comes with more than one instance starts in panic, so that a new autoscaler, which has seen no load yet,
 * cannot shrink it.
 */
export function createScalerState(ready: number, nowMs: number): ScalerState {
  const inPanic = ready > 1;
  return { window: createLoadWindow(), panicAtMs: inPanic ? nowMs : -1, panicMost: inPanic ? ready : 0 };
}

/** One tick. `state` is changed in place and returned; `nowMs` is monotonic. */
export function decideScale(
  state: ScalerState,
  sample: ScaleSample,
  policy: ScalePolicy,
  nowMs: number,
): { state: ScalerState; desired: number } {
  addToWindow(state.window, sample.load, sample.loopUse, nowMs, tickMs);
  const ready = Math.max(1, sample.ready);
  const stableWants = wants(state.window, stableWindowMs, sample, policy);
  const panicWants = wants(state.window, panicWindowMs, sample, policy);

  const most = Math.ceil(upRate * ready);
  const least = Math.floor(ready / downRate);
  const stable = clamp(stableWants, least, most);
  const panic = clamp(panicWants, least, most);

  if (panicWants / ready >= panicThreshold) {
    state.panicAtMs = nowMs;
  } else if (state.panicAtMs >= 0 && state.panicAtMs + stableWindowMs < nowMs) {
    state.panicAtMs = -1;
    state.panicMost = 0;
  }

  let desired = stable;
  if (state.panicAtMs >= 0) {
    state.panicMost = Math.max(state.panicMost, stable, panic);
    desired = state.panicMost;
  }
  return { state, desired: clamp(desired, policy.minInstances, policy.maxInstances) };
}

/**
 * On the arrival of a request, which is counted in `waiting`: start one more instance now, not at the next tick? Yes for
 * the first request of a sleeping group, and when those there are and those on their way have no place for it. With more
 * than one place in an instance that is done at once only up to the number of cores: whether the group is then short of
 * places or of CPU takes a tick to see.
 */
export function wantsInstanceNow(
  inFlight: number,
  waiting: number,
  ready: number,
  starting: number,
  policy: ScalePolicy,
): boolean {
  const coming = ready + starting;
  if (waiting === 0 || coming >= policy.maxInstances) return false;
  if (coming === 0) return true;
  if (inFlight + waiting <= coming * policy.concurrency) return false;
  return policy.concurrency === 1 || coming < policy.cores;
}

/** Requests at once that one instance should have. */
export function targetLoad(policy: ScalePolicy): number {
  return policy.concurrency === 1 ? 1 : policy.concurrency * targetUse;
}

function wants(window: LoadWindow, windowMs: number, sample: ScaleSample, policy: ScalePolicy): number {
  const load = windowAverage(window, "load", windowMs);
  const loopUse = windowAverage(window, "loopUse", windowMs);
  const slots = Math.ceil(load / targetLoad(policy) - rounding);
  return Math.max(slotsWorthHaving(slots, loopUse, sample, policy), loopWants(load, loopUse, sample, policy));
}

/**
 * 256 connections to a function of concurrency 64 ask for 6 instances. When its instances wait for a database, 6 is
 * right. When they compute, and the machine has no core left for another, 6 processes share what 2 had, each switch
 * between them costs, and less work is gathered into one turn; so the number then stops at the number of cores.
 */
function slotsWorthHaving(slots: number, loopUse: number, sample: ScaleSample, policy: ScalePolicy): number {
  if (sample.spareCores >= spareWorthHaving) return slots;
  if (loopUse < loopWorking * Math.max(1, sample.ready)) return slots;
  return Math.min(slots, Math.max(sample.ready, policy.cores));
}

/**
 * Instances for CPU-bound work. Full event loops hide how much more there is to do, so their number is doubled, but only
 * while there are cores for them to run on and requests for them to share: one caller who sends the next request after the
 * last answer fills a loop and gains nothing from a second one. Once there, as many stay as their summed use needs.
 */
function loopWants(load: number, loopUse: number, sample: ScaleSample, policy: ScalePolicy): number {
  const ready = Math.max(1, sample.ready);
  const needed = Math.min(Math.ceil(loopUse / loopFull - rounding), ready, policy.cores);
  if (loopUse <= loopFull * ready + rounding || sample.spareCores < spareWorthHaving) return needed;
  return Math.max(needed, Math.min(ready * 2, policy.cores, Math.ceil(load - rounding)));
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most);
}

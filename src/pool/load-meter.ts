/**
 * The average number of requests at once since the last tick, from every change in between. A look at the counter four
 * times a second would miss a function that answers in 3 ms almost always.
 */
export interface LoadMeter {
  level: number;
  sinceMs: number;
  /** level x milliseconds since the last take. */
  area: number;
  takenMs: number;
}

export function createLoadMeter(nowMs: number): LoadMeter {
  return { level: 0, sinceMs: nowMs, area: 0, takenMs: nowMs };
}

/** To be called when a request arrives (+1) and when it has left its instance or given up waiting (-1). */
export function changeLoad(meter: LoadMeter, by: number, nowMs: number): void {
  if (nowMs > meter.sinceMs) {
    meter.area += meter.level * (nowMs - meter.sinceMs);
    meter.sinceMs = nowMs;
  }
  meter.level += by;
}

/** The average since the last take; the level itself when no time has passed. */
export function takeLoad(meter: LoadMeter, nowMs: number): number {
  changeLoad(meter, 0, nowMs);
  const spanMs = meter.sinceMs - meter.takenMs;
  const average = spanMs <= 0 ? meter.level : meter.area / spanMs;
  meter.area = 0;
  meter.takenMs = meter.sinceMs;
  return average;
}

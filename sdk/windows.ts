/**
 * Windows over event time, as the handler's side sees them: which windows a record is in, which of those have ended, and the
 * folding of a batch into the states of its windows. Pure; states come from the caller and go back to it.
 *
 *   a window      [start, end) of event time, of one key; starts are multiples of `everyMs` since the epoch
 *   watermark     event time up to which all is believed to have come; told with each delivery, and never going back
 *   closed        end + lateness <= watermark: its state is gone, its result was given; a record for it is late
 */

export interface WindowSpan {
  /** Epoch milliseconds, included. */
  readonly start: number;
  /** Not included. */
  readonly end: number;
}

export interface WindowShape {
  readonly sizeMs: number;
  readonly everyMs: number;
  readonly latenessMs: number;
}

/** All windows that hold this moment, the earliest first. */
export function windowsOf(atMs: number, { sizeMs, everyMs }: WindowShape): WindowSpan[] {
  const last = Math.floor(atMs / everyMs) * everyMs;
  const spans: WindowSpan[] = [];
  for (let start = last - sizeMs + everyMs; start <= last; start += everyMs) spans.push({ start, end: start + sizeMs });
  return spans;
}

export function isClosed(end: number, latenessMs: number, watermarkMs: number | null): boolean {
  return watermarkMs !== null && end + latenessMs <= watermarkMs;
}

/** The part of a batch that belongs to one window of one key. */
export interface WindowPart<R> extends WindowSpan {
  readonly key: string;
  readonly records: R[];
}

export interface Sorted<R> {
  readonly parts: WindowPart<R>[];
  /** Records that have missed at least one of their windows. */
  readonly late: R[];
  /** The latest event time of the batch; null when it is empty. */
  readonly maxMs: number | null;
}

/** Parts are in the order in which their first record came; records in their own order. */
export function sortIntoWindows<R>(
  records: readonly R[],
  shape: WindowShape,
  watermarkMs: number | null,
  keyOf: (record: R) => string,
  timeOf: (record: R) => number,
): Sorted<R> {
  const parts = new Map<string, WindowPart<R>>();
  const late: R[] = [];
  let maxMs: number | null = null;
  for (const record of records) {
    const atMs = timeOf(record);
    const key = keyOf(record);
    maxMs = Math.max(maxMs ?? atMs, atMs);
    let isLate = false;
    for (const { start, end } of windowsOf(atMs, shape)) {
      if (isClosed(end, shape.latenessMs, watermarkMs)) {
        isLate = true;
        continue;
      }
      const id = `${start} ${key}`;
      const part = parts.get(id);
      if (part === undefined) parts.set(id, { key, start, end, records: [record] });
      else part.records.push(record);
    }
    if (isLate) late.push(record);
  }
  return { parts: [...parts.values()], late, maxMs };
}

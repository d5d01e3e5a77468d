/** One line of an access log in the combined format, with the time of the request in milliseconds at its end. */
export interface Hit {
  /** Epoch milliseconds. */
  readonly at: number;
  /** First part of the path. */
  readonly route: string;
  readonly status: number;
  readonly bytes: number;
  readonly ms: number;
}

const shape = /^\S+ \S+ \S+ \[([^\]]+)\] "[A-Z]+ (\/[^/ ?]*)[^"]*" (\d{3}) (\d+|-) "[^"]*" "[^"]*" (\d+)$/;
const timeShape = /^(\d\d)\/(\w{3})\/(\d{4}):(\d\d:\d\d:\d\d) ([+-]\d\d)(\d\d)$/;
const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** null for a line that is none. */
export function parseLine(line: string): Hit | null {
  const [, time, route, status, bytes, ms] = shape.exec(line) ?? [];
  if (time === undefined || route === undefined) return null;
  const [, day, month, year, clock, hours, minutes] = timeShape.exec(time) ?? [];
  const number = String(months.indexOf(month ?? "") + 1).padStart(2, "0");
  const at = Date.parse(`${year}-${number}-${day}T${clock}${hours}:${minutes}`);
  if (Number.isNaN(at)) return null;
  return { at, route, status: Number(status), bytes: bytes === "-" ? 0 : Number(bytes), ms: Number(ms) };
}

/**
 * Counters and histograms in the text format of Prometheus (exposition format 0.0.4,
 * https://prometheus.io/docs/instrumenting/exposition_formats/). `count` is on the hot path: it finds the function's series,
 * usually the one before, and adds to a few typed arrays. Text is made only when somebody asks.
 */
import { monitorEventLoopDelay, type ELDHistogram } from "node:perf_hooks";
import { limits } from "../contract/limits.ts";
import type { InvocationRecord, ObserveStats } from "../contract/observing.ts";
import { outcomeNumber, outcomes } from "./record-codec.ts";

/** Upper bounds of the buckets, microseconds: 128 us, doubling, to 67 s. Base 2, so that the bucket is a count of bits. */
const firstBoundBits = 7;
const bounds = 20;
/** The event loop is watched from a scrape on until nobody has scraped for this long: watching wakes an idle server. */
const watchMs = 120_000;
const watchResolutionMs = 20;

/** Where a series keeps what: for each outcome a count, a sum of microseconds and buckets, the last one without a bound. */
const outcomeCells = 2 + bounds + 1;
const waitCell = outcomes.length * outcomeCells;
const coldCell = waitCell + 1;

class Series {
  readonly app: string;
  readonly function: string;
  readonly cells = new Float64Array(coldCell + 1);

  constructor(app: string, name: string) {
    this.app = app;
    this.function = name;
  }

  /** `cell` 0: the count; 1: the sum; from 2 on the buckets. */
  of(outcome: number, cell: number): number {
    return this.cells[outcome * outcomeCells + cell] ?? 0;
  }
}

export class Metrics {
  readonly #apps = new Map<string, Map<string, Series>>();
  readonly #others = new Series("", "");
  #seriesCount = 0;
  #last = this.#others;
  #delay: ELDHistogram | null = null;
  #delayTimer: NodeJS.Timeout | null = null;

  count(record: InvocationRecord): void {
    let series = this.#last;
    if (series.app !== record.app || series.function !== record.function)
      series = this.#find(record.app, record.function);
    const cells = series.cells;
    const base = outcomeNumber(record.outcome) * outcomeCells;
    const totalUs = record.waitUs + record.handlerUs;
    const bucket = base + 2 + bucketOf(totalUs);
    cells[base] = (cells[base] ?? 0) + 1;
    cells[base + 1] = (cells[base + 1] ?? 0) + totalUs;
    cells[bucket] = (cells[bucket] ?? 0) + 1;
    cells[waitCell] = (cells[waitCell] ?? 0) + record.waitUs;
    if (record.coldUs > 0) cells[coldCell] = (cells[coldCell] ?? 0) + 1;
  }

  /** The page of `/metrics`; its content type is `text/plain; version=0.0.4; charset=utf-8`. */
  text(stats: ObserveStats): string {
    const lines: string[] = [];
    const all = [...this.#apps.values()].flatMap((functions) => [...functions.values()]);
    if (this.#others.cells.some((value) => value > 0)) all.push(this.#others);
    head(lines, "aloft_invocations_total", "counter", "Invocations that have ended.");
    for (const series of all)
      for (const [index, outcome] of outcomes.entries())
        sample(lines, "aloft_invocations_total", labels(series, outcome), series.of(index, 0));
    head(lines, "aloft_invocation_duration_seconds", "histogram", "From arrival to the last byte of the answer.");
    for (const series of all) for (const index of outcomes.keys()) durations(lines, series, index);
    head(lines, "aloft_wait_seconds_total", "counter", "Time that invocations waited for an instance.");
    for (const series of all)
      lines.push(`aloft_wait_seconds_total{${labels(series)}} ${(series.cells[waitCell] ?? 0) / 1e6}`);
    head(lines, "aloft_cold_starts_total", "counter", "Invocations that waited for an instance to start.");
    for (const series of all) sample(lines, "aloft_cold_starts_total", labels(series), series.cells[coldCell] ?? 0);
    observeLines(lines, stats);
    this.#processLines(lines);
    return `${lines.join("\n")}\n`;
  }

  close(): void {
    if (this.#delayTimer !== null) clearTimeout(this.#delayTimer);
    this.#delay?.disable();
    this.#delay = null;
  }

  #find(app: string, name: string): Series {
    let functions = this.#apps.get(app);
    let series = functions?.get(name);
    if (series === undefined) {
      if (this.#seriesCount >= limits.metricSeries) return this.#others;
      this.#seriesCount++;
      series = new Series(app, name);
      if (functions === undefined) this.#apps.set(app, (functions = new Map<string, Series>()));
      functions.set(name, series);
    }
    this.#last = series;
    return series;
  }

  #processLines(lines: string[]): void {
    const cpu = process.cpuUsage();
    head(lines, "process_resident_memory_bytes", "gauge", "Resident memory of the server.");
    lines.push(`process_resident_memory_bytes ${process.memoryUsage.rss()}`);
    head(lines, "process_cpu_seconds_total", "counter", "User and system time of the server.");
    lines.push(`process_cpu_seconds_total ${(cpu.user + cpu.system) / 1e6}`);
    head(lines, "process_uptime_seconds", "gauge", "Time since the server began.");
    lines.push(`process_uptime_seconds ${process.uptime().toFixed(3)}`);
    const delay = this.#watchDelay();
    if (delay === null) return; // the first scrape begins the watch
    head(lines, "aloft_event_loop_delay_seconds", "summary", "How late the event loop was, since the last scrape.");
    for (const quantile of [0.5, 0.99, 1])
      lines.push(`aloft_event_loop_delay_seconds{quantile="${quantile}"} ${lateness(delay, quantile).toFixed(6)}`);
    delay.reset();
  }

  #watchDelay(): ELDHistogram | null {
    const watched = this.#delay;
    if (watched === null) {
      this.#delay = monitorEventLoopDelay({ resolution: watchResolutionMs });
      this.#delay.enable();
    }
    if (this.#delayTimer !== null) clearTimeout(this.#delayTimer);
    this.#delayTimer = setTimeout(() => {
      this.#delay?.disable();
      this.#delay = null;
    }, watchMs).unref();
    return watched;
  }
}

/** 0 for up to 128 us, one more for each doubling, `bounds` for what is over the last bound. */
function bucketOf(us: number): number {
  const over = Math.ceil(us) - 1; // a bound is part of its bucket
  if (over < 1 << firstBoundBits) return 0;
  return over >= 2 ** 31 ? bounds : Math.min(bounds, 32 - Math.clz32(over) - firstBoundBits);
}

function durations(lines: string[], series: Series, outcome: number): void {
  const count = series.of(outcome, 0);
  if (count === 0) return;
  const name = "aloft_invocation_duration_seconds";
  const with_ = labels(series, outcomes[outcome] ?? "");
  let below = 0;
  for (let i = 0; i < bounds; i++) {
    below += series.of(outcome, 2 + i);
    lines.push(`${name}_bucket{${with_},le="${2 ** (firstBoundBits + i) / 1e6}"} ${below}`);
  }
  lines.push(`${name}_bucket{${with_},le="+Inf"} ${count}`);
  lines.push(`${name}_sum{${with_}} ${series.of(outcome, 1) / 1e6}`, `${name}_count{${with_}} ${count}`);
}

function observeLines(lines: string[], stats: ObserveStats): void {
  head(lines, "aloft_observe_total", "counter", "Records and log lines, by what became of them.");
  for (const [name, value] of Object.entries(stats)) {
    const parts = /^(records|logs)([A-Z][a-z]+)$/.exec(name);
    if (parts === null) continue;
    lines.push(`aloft_observe_total{kind="${parts[1]}",what="${(parts[2] ?? "").toLowerCase()}"} ${value}`);
  }
}

function head(lines: string[], name: string, type: string, help: string): void {
  lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
}

function sample(lines: string[], name: string, with_: string, value: number): void {
  if (value > 0) lines.push(`${name}{${with_}} ${value}`);
}

function labels(series: Series, outcome?: string): string {
  const base = `app="${escaped(series.app)}",function="${escaped(series.function)}"`;
  return outcome === undefined ? base : `${base},outcome="${outcome}"`;
}

function escaped(value: string): string {
  return value.replace(/[\\"\n]/g, (found) => (found === "\n" ? "\\n" : `\\${found}`));
}

/** The histogram holds whole intervals; what is over the resolution is the delay. */
function lateness(delay: ELDHistogram, quantile: number): number {
  const ns = delay.percentile(quantile * 100);
  return Math.max(0, ns / 1e9 - watchResolutionMs / 1000);
}

/** The `platform.*` events of an environment's life, with the figures that AWS reports. */
import { readFileSync } from "node:fs";
import type { CurrentInvoke } from "./current-invoke.ts";
import type { Extension, FunctionFacts } from "./extensions-side.ts";
import type { Invoke } from "./invoke.ts";
import { roundMs, statusOf, tracingOf } from "./platform-events.ts";
import type { TelemetrySide } from "./telemetry-side.ts";

const initializationType = "on-demand";

export class Reports {
  readonly #telemetry: TelemetrySide;
  readonly #facts: FunctionFacts & { readonly memoryMiB: number };

  constructor(telemetry: TelemetrySide, facts: FunctionFacts & { readonly memoryMiB: number }) {
    this.#telemetry = telemetry;
    this.#facts = facts;
  }

  initStart(phase: "init" | "invoke", instanceId: string): void {
    const { functionName, functionVersion, memoryMiB } = this.#facts;
    const instance = { functionName, functionVersion, instanceId, instanceMaxMemory: memoryMiB };
    this.#telemetry.emit("platform.initStart", { initializationType, phase, ...instance });
  }

  initRuntimeDone(phase: "init" | "invoke", errorType: string): void {
    this.#telemetry.emit("platform.initRuntimeDone", { initializationType, phase, ...outcome(errorType, false) });
  }

  initReport(phase: "init" | "invoke", durationMs: number, errorType: string): void {
    const metrics = { durationMs };
    this.#telemetry.emit("platform.initReport", { initializationType, phase, ...outcome(errorType, false), metrics });
  }

  extensions(all: readonly Extension[]): void {
    for (const { name, state, events, errorType } of all) {
      const record = { name, state, events, ...(errorType !== "" && { errorType }) };
      this.#telemetry.emit("platform.extension", record);
    }
  }

  start({ requestId, traceId }: Invoke): void {
    const version = this.#facts.functionVersion;
    this.#telemetry.emit("platform.start", { requestId, version, ...tracingOf(traceId) });
  }

  runtimeDone(current: CurrentInvoke, readyAtMs: number, errorType: string, isTimeout: boolean): void {
    if (!this.#telemetry.isHeard) return;
    const { invoke, startedAtMs, answeringAtMs, answeredAtMs, producedBytes } = current;
    const spans =
      answeredAtMs === 0
        ? []
        : [
            span("responseLatency", startedAtMs, answeringAtMs),
            span("responseDuration", answeringAtMs, answeredAtMs),
            span("runtimeOverhead", answeredAtMs, readyAtMs),
          ];
    this.#telemetry.emit("platform.runtimeDone", {
      requestId: invoke.requestId,
      ...outcome(errorType, isTimeout),
      ...tracingOf(invoke.traceId),
      spans,
      metrics: { durationMs: roundMs(readyAtMs - startedAtMs), producedBytes },
    });
  }

  /** `readyAtMs` is 0 when the runtime did not come to its end. */
  report(current: CurrentInvoke, readyAtMs: number, initDurationMs: number, isTimeout: boolean, pid: number): void {
    if (!this.#telemetry.isHeard) return;
    const { invoke, startedAtMs, errorType } = current;
    const nowMs = performance.now();
    const durationMs = roundMs(nowMs - startedAtMs);
    const hasOverhead = readyAtMs > 0 && nowMs - readyAtMs >= 0.001;
    this.#telemetry.emit("platform.end", { requestId: invoke.requestId });
    this.#telemetry.emit("platform.report", {
      requestId: invoke.requestId,
      ...outcome(errorType, isTimeout),
      ...tracingOf(invoke.traceId),
      ...(hasOverhead && { spans: [span("extensionOverhead", readyAtMs, nowMs)] }),
      metrics: {
        durationMs,
        billedDurationMs: Math.ceil(durationMs),
        memorySizeMB: this.#facts.memoryMiB,
        maxMemoryUsedMB: peakMiB(pid),
        ...(initDurationMs > 0 && { initDurationMs }),
      },
    });
  }
}

/** A timeout is its own status and has no type. */
function outcome(errorType: string, isTimeout: boolean): object {
  const status = statusOf(errorType, isTimeout);
  return { status, ...(status !== "success" && !isTimeout && { errorType }) };
}

function span(name: string, fromMs: number, toMs: number): object {
  const start = new Date(performance.timeOrigin + fromMs).toISOString();
  return { name, start, durationMs: roundMs(toMs - fromMs) };
}

/** The most that the runtime's process has held at once; 0 when it has ended, or the machine does not say. */
function peakMiB(pid: number): number {
  try {
    const kib = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1];
    return Math.ceil(Number(kib ?? 0) / 1024);
  } catch {
    return 0;
  }
}

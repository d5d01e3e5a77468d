/**
 * One listener of telemetry: its events are gathered until there are enough of them or the oldest has waited long enough,
 * then sent; one batch at a time. What it cannot take in time is dropped and counted, and it is told.
 */
import { request } from "node:http";
import { connect, type Socket } from "node:net";
import { categoryOf, eventAt, isForLogsApi, isForTelemetryApi, type TelemetryEvent } from "./platform-events.ts";
import type { Destination, Subscription } from "./telemetry-subscription.ts";

/** A batch that could not be delivered is tried again after these times, then dropped. */
const retriesMs = [50, 200, 500] as const;
const deliveryMs = 5000;
/** Whole batches that wait behind one that is on its way; as many bytes as AWS keeps at most. */
const bytesKeptFactor = 2;

const droppedReason = "Some logs were dropped because the downstream consumer is slower than the logs production rate";

export class TelemetrySubscriber {
  readonly name: string;
  readonly subscription: Subscription;
  #events: TelemetryEvent[] = [];
  #bytes = 0;
  #timer: NodeJS.Timeout | null = null;
  #sending: Promise<void> | null = null;
  #droppedRecords = 0;
  #droppedBytes = 0;
  #socket: Socket | null;
  #isClosed = false;

  private constructor(name: string, subscription: Subscription, socket: Socket | null) {
    this.name = name;
    this.subscription = subscription;
    this.#socket = socket;
    // Whoever goes away is told nothing more.
    socket?.on("error", () => {});
  }

  /** Rejects when a TCP listener cannot be reached; an HTTP listener may come later. */
  static async open(name: string, subscription: Subscription): Promise<TelemetrySubscriber> {
    const { destination } = subscription;
    const socket = destination.protocol === "TCP" ? await dial(destination.port) : null;
    return new TelemetrySubscriber(name, subscription, socket);
  }

  add(event: TelemetryEvent): void {
    const { api, types, buffering } = this.subscription;
    if (this.#isClosed || !types.includes(categoryOf(event.type))) return;
    if (!(api === "logs" ? isForLogsApi(event.type) : isForTelemetryApi(event.type))) return;
    const bytes = Buffer.byteLength(JSON.stringify(event));
    if (this.#bytes + bytes > buffering.maxBytes * bytesKeptFactor || this.#events.length >= buffering.maxItems * 2) {
      this.#droppedRecords += 1;
      this.#droppedBytes += bytes;
      return;
    }
    this.#events.push(event);
    this.#bytes += bytes;
    if (this.#events.length >= buffering.maxItems || this.#bytes >= buffering.maxBytes) void this.flush();
    else this.#timer ??= setTimeout(() => void this.flush(), buffering.timeoutMs);
  }

  /** Resolves when all that was added before has been delivered or given up. */
  async flush(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    while (this.#sending !== null || this.#events.length > 0) {
      this.#sending ??= this.#sendBatch().finally(() => (this.#sending = null));
      await this.#sending;
    }
  }

  async #sendBatch(): Promise<void> {
    const batch = this.#events;
    this.#events = [];
    this.#bytes = 0;
    if (this.#droppedRecords > 0) {
      batch.unshift(this.#droppedEvent());
      this.#droppedRecords = 0;
      this.#droppedBytes = 0;
    }
    for (const waitMs of [...retriesMs, null]) {
      if (this.#isClosed || (await this.#deliver(batch))) return;
      if (waitMs !== null) await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
    // It is told with the next event that gets through.
    this.#droppedRecords += batch.length;
    this.#droppedBytes += Buffer.byteLength(JSON.stringify(batch));
  }

  #droppedEvent(): TelemetryEvent {
    return eventAt(Date.now(), "platform.logsDropped", {
      reason: droppedReason,
      droppedRecords: this.#droppedRecords,
      droppedBytes: this.#droppedBytes,
    });
  }

  async #deliver(batch: readonly TelemetryEvent[]): Promise<boolean> {
    const { destination } = this.subscription;
    if (destination.protocol === "HTTP") return await post(destination, JSON.stringify(batch));
    const lines = batch.map((event) => `${JSON.stringify(event)}\n`).join("");
    const socket = this.#socket;
    if (socket === null || socket.destroyed) return false;
    return await new Promise((resolve) =>
      socket.write(lines, (error) => resolve(error === null || error === undefined)),
    );
  }

  close(): void {
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#socket?.destroy();
    this.#socket = null;
  }
}

function dial(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => resolve(socket));
    socket.once("error", reject);
  });
}

/** The name `sandbox.localdomain` is this machine itself, so nobody has to resolve it. */
function post(destination: Destination & { protocol: "HTTP" }, body: string): Promise<boolean> {
  const { port, path, method } = destination;
  return new Promise((resolve) => {
    const sent = request(
      {
        host: "127.0.0.1",
        port,
        path,
        method,
        timeout: deliveryMs,
        headers: {
          Host: `sandbox.localdomain:${port}`,
          "Content-Type": "application/json",
          "Content-Length": Buffer.byteLength(body),
        },
      },
      (response) => {
        response.resume();
        response.once("end", () => resolve((response.statusCode ?? 500) < 400));
        response.once("close", () => resolve(false));
      },
    );
    sent.once("timeout", () => sent.destroy());
    sent.once("error", () => resolve(false));
    sent.end(body);
  });
}

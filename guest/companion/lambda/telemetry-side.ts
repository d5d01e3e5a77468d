/**
 * The Telemetry API, 2022-07-01, and the Logs API, 2020-08-15: who listens, and what all of them are told. Events from
 * before a listener came are kept while the environment starts, for a listener wants to hear of the start as well.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { extensionId, type ExtensionsSide } from "./extensions-side.ts";
import { eventAt, type TelemetryEvent } from "./platform-events.ts";
import { readBody, sendError, sendForbidden, sendInternalError } from "./reply.ts";
import { parseSubscription, type Subscription, SubscriptionError } from "./telemetry-subscription.ts";
import { TelemetrySubscriber } from "./telemetry-subscriber.ts";

const subscriptionBytesMax = 64 * 1024;
/** Of the start; a program that prints more before anyone listens is heard from then on only. */
const backlogMax = 1000;

const apis = {
  telemetry: { name: "Telemetry API", closed: "Telemetry.SubscriptionClosed", event: "platform.telemetrySubscription" },
  logs: { name: "Logs API", closed: "Logs.SubscriptionClosed", event: "platform.logsSubscription" },
} as const;

export class TelemetrySide {
  readonly #extensions: ExtensionsSide;
  #subscribers: TelemetrySubscriber[] = [];
  #backlog: TelemetryEvent[] = [];
  #isOpen = true;

  constructor(extensions: ExtensionsSide) {
    this.#extensions = extensions;
  }

  begin(): void {
    this.close();
    this.#subscribers = [];
    this.#backlog = [];
    this.#isOpen = true;
  }

  /** The environment has started: nobody can begin to listen any more. */
  closeSubscription(): void {
    this.#isOpen = false;
    this.#backlog = [];
  }

  /** false: an event need not even be made. */
  get isHeard(): boolean {
    return this.#isOpen || this.#subscribers.length > 0;
  }

  emit(type: string, record: unknown): void {
    if (!this.isHeard) return;
    const event = eventAt(Date.now(), type, record);
    if (this.#isOpen && this.#backlog.length < backlogMax) this.#backlog.push(event);
    for (const subscriber of this.#subscribers) subscriber.add(event);
  }

  async flush(): Promise<void> {
    await Promise.all(this.#subscribers.map((one) => one.flush()));
  }

  close(): void {
    for (const subscriber of this.#subscribers) subscriber.close();
  }

  // --- requests

  async subscribe(api: Subscription["api"], request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readBody(request, subscriptionBytesMax).catch(() => null);
    const id = extensionId(request, response);
    if (id === null) return;
    const extension = this.#extensions.byId(id);
    if (extension === null) {
      sendForbidden(response, "Extension.UnknownExtensionIdentifier", `Unknown extension ${id}`);
      return;
    }
    if (!this.#isOpen) {
      sendForbidden(response, apis[api].closed, `${apis[api].name} subscription is closed already`);
      return;
    }
    try {
      const subscription = parseSubscription(api, body?.toString() ?? "");
      const other = this.#subscribers.find((one) => one.subscription.api !== api);
      if (other !== undefined) {
        const already = apis[other.subscription.api].name;
        throw new SubscriptionError(`${other.name} has subscribed to the ${already}; use one of the two APIs`);
      }
      await this.#add(extension.name, subscription);
    } catch (error) {
      if (error instanceof SubscriptionError) sendError(response, 400, "ValidationError", error.message);
      else sendInternalError(response);
      return;
    }
    response.writeHead(200, { "Content-Type": "application/json", "Content-Length": 4 });
    response.end('"OK"');
    this.emit(apis[api].event, { name: extension.name, state: "Subscribed", types: this.#typesOf(extension.name) });
  }

  /** Subscribing again takes the place of the former subscription. */
  async #add(name: string, subscription: Subscription): Promise<void> {
    const subscriber = await TelemetrySubscriber.open(name, subscription).catch((error: unknown) => {
      throw new SubscriptionError(`nobody listens at the destination: ${(error as Error).message}`);
    });
    this.#subscribers.find((one) => one.name === name)?.close();
    this.#subscribers = [...this.#subscribers.filter((one) => one.name !== name), subscriber];
    for (const event of this.#backlog) subscriber.add(event);
  }

  #typesOf(name: string): readonly string[] {
    return this.#subscribers.find((one) => one.name === name)?.subscription.types ?? [];
  }
}

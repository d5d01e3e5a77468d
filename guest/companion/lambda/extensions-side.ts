/**
 * The Extensions API, 2020-01-01. External extensions are programs of the deployment's folder `extensions/`, known by the
 * name of their file before they say anything; internal ones live in the runtime's process and come into being when they
 * register, which ends when the runtime asks for its first event.
 */
import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import {
  askedExtensionState,
  type ExtensionState,
  type ExtensionTransition,
  nextExtensionState,
} from "./extension-states.ts";
import type { Invoke } from "./invoke.ts";
import type { ShutdownReason } from "./phases.ts";
import { header, readBody, sendAccepted, sendForbidden, sendJson } from "./reply.ts";

/** As AWS. */
export const extensionsMax = 10;
const registerBytesMax = 64 * 1024;

export interface FunctionFacts {
  readonly accountId: string;
  readonly functionName: string;
  readonly functionVersion: string;
  readonly handler: string;
}

export interface Extension {
  readonly id: string;
  readonly name: string;
  readonly isExternal: boolean;
  state: ExtensionState;
  events: readonly string[];
  /** What it said went wrong; "" when nothing. */
  errorType: string;
  /** Its request for the next event. */
  waiting: ServerResponse | null;
  /** An event that came while it was at work: it is the next one it gets. */
  pending: object | null;
}

export interface ExtensionEvents {
  /** It has registered, or asked for its next event. */
  extensionMoved(extension: Extension): void;
  extensionFailed(extension: Extension, when: "Extension.InitError" | "Extension.ExitError"): void;
}

export class ExtensionsSide {
  readonly #facts: FunctionFacts;
  readonly #events: ExtensionEvents;
  #extensions: Extension[] = [];
  #isOpen = true;

  constructor(facts: FunctionFacts, events: ExtensionEvents) {
    this.#facts = facts;
    this.#events = events;
  }

  get all(): readonly Extension[] {
    return this.#extensions;
  }

  /** New processes begin, these external ones among them. */
  begin(externalNames: readonly string[]): void {
    this.close();
    this.#isOpen = true;
    this.#extensions = externalNames.map((name) => newExtension(name, true));
  }

  /** The runtime has started: who has not registered by now is none. */
  closeRegistration(): void {
    this.#isOpen = false;
  }

  close(): void {
    for (const extension of this.#extensions) extension.waiting?.destroy();
  }

  byId(id: string): Extension | null {
    return this.#extensions.find((one) => one.id === id) ?? null;
  }

  /** All that have registered for this event. */
  subscribed(event: "INVOKE" | "SHUTDOWN"): readonly Extension[] {
    return this.#extensions.filter(({ events }) => events.includes(event));
  }

  giveInvoke(invoke: Invoke): void {
    const event = {
      eventType: "INVOKE",
      deadlineMs: invoke.deadlineMs,
      requestId: invoke.requestId,
      invokedFunctionArn: invoke.functionArn,
      ...(invoke.traceId !== "" && { tracing: { type: "X-Amzn-Trace-Id", value: invoke.traceId } }),
    };
    for (const extension of this.subscribed("INVOKE")) giveEvent(extension, event);
  }

  giveShutdown(shutdownReason: ShutdownReason, deadlineMs: number): void {
    for (const extension of this.subscribed("SHUTDOWN")) {
      giveEvent(extension, { eventType: "SHUTDOWN", deadlineMs, shutdownReason });
    }
  }

  // --- requests

  async register(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const name = header(request, "lambda-extension-name");
    const body = await readBody(request, registerBytesMax).catch(() => null);
    if (name === "") {
      sendForbidden(response, "Extension.InvalidExtensionName", "Empty extension name");
      return;
    }
    const asked = parseRegister(body);
    if (typeof asked === "string") {
      sendForbidden(response, "InvalidRequestFormat", asked);
      return;
    }
    const external = this.#extensions.find((one) => one.isExternal && one.name === name) ?? null;
    for (const event of asked) {
      const refusal = refusalOf(event, external !== null);
      if (refusal === null) continue;
      sendForbidden(response, "Extension.InvalidEventType", `${event}: ${refusal}`);
      return;
    }
    const extension = external ?? this.#newInternal(name, response);
    if (extension === null || !transit(extension, "register", response, extension.name)) return;
    extension.events = asked;
    const features = header(request, "lambda-extension-accept-feature").split(",");
    const { accountId, ...facts } = this.#facts;
    const answer = features.some((one) => one.trim() === "accountId") ? { accountId, ...facts } : facts;
    sendJson(response, 200, answer, { "Lambda-Extension-Identifier": extension.id });
    this.#events.extensionMoved(extension);
  }

  #newInternal(name: string, response: ServerResponse): Extension | null {
    if (!this.#isOpen) {
      sendForbidden(response, "Extension.RegistrationClosed", "Extension registration closed already");
      return null;
    }
    if (this.#extensions.length >= extensionsMax) {
      sendForbidden(response, "Extension.TooManyExtensions", `Extension limit (${extensionsMax}) reached`);
      return null;
    }
    if (this.#extensions.some((one) => one.name === name)) {
      sendForbidden(response, "Extension.InvalidExtensionState", "Extension with this name already registered");
      return null;
    }
    const extension = newExtension(name, false);
    this.#extensions.push(extension);
    return extension;
  }

  next(request: IncomingMessage, response: ServerResponse): void {
    const id = extensionId(request, response);
    if (id === null) return;
    const extension = this.byId(id);
    if (extension === null) {
      sendForbidden(response, "Extension.UnknownExtensionIdentifier", `Unknown extension ${id}`);
      return;
    }
    if (!transit(extension, "next", response, id)) return;
    extension.waiting = response;
    response.once("close", () => {
      if (extension.waiting === response) extension.waiting = null;
    });
    this.#events.extensionMoved(extension);
    if (extension.pending !== null) giveEvent(extension, extension.pending);
  }

  async fail(kind: "initError" | "exitError", request: IncomingMessage, response: ServerResponse): Promise<void> {
    await readBody(request, registerBytesMax).catch(() => null);
    const id = extensionId(request, response);
    if (id === null) return;
    const errorType = header(request, "lambda-extension-function-error-type");
    if (errorType === "") {
      sendForbidden(response, "Extension.MissingHeader", "Lambda-Extension-Function-Error-Type not found");
      return;
    }
    const extension = this.byId(id);
    if (extension === null) {
      sendForbidden(response, "Extension.UnknownExtensionIdentifier", "Unknown Lambda-Extension-Identifier");
      return;
    }
    const isFirst = extension.errorType === "";
    if (!transit(extension, kind, response, id)) return;
    if (isFirst) extension.errorType = errorType;
    sendAccepted(response);
    if (!isFirst) return;
    this.#events.extensionFailed(extension, kind === "initError" ? "Extension.InitError" : "Extension.ExitError");
  }
}

function newExtension(name: string, isExternal: boolean): Extension {
  return {
    id: randomUUID(),
    name,
    isExternal,
    state: "Started",
    events: [],
    errorType: "",
    waiting: null,
    pending: null,
  };
}

function giveEvent(extension: Extension, event: object): void {
  const { waiting } = extension;
  const state = nextExtensionState(extension.state, "event");
  extension.pending = event;
  if (waiting === null || state === null) return;
  extension.pending = null;
  extension.waiting = null;
  extension.state = state;
  sendJson(waiting, 200, event, { "Lambda-Extension-Event-Identifier": randomUUID() });
}

function transit(
  extension: Extension,
  transition: keyof typeof askedExtensionState & ExtensionTransition,
  response: ServerResponse,
  who: string,
): boolean {
  const state = nextExtensionState(extension.state, transition);
  if (state !== null) {
    extension.state = state;
    return true;
  }
  const asked = askedExtensionState[transition];
  sendForbidden(
    response,
    "Extension.InvalidExtensionState",
    `State transition from ${extension.state} to ${asked} failed for extension ${who}. Error: State transition is not allowed`,
  );
  return false;
}

/** The events, or what is wrong. */
function parseRegister(body: Buffer | null): readonly string[] | string {
  let value: unknown;
  try {
    value = JSON.parse(body?.toString() ?? "");
  } catch (error) {
    return (error as Error).message;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return "the body is not an object";
  const { events, configurationKeys } = value as Record<string, unknown>;
  if (Array.isArray(configurationKeys) && configurationKeys.length > 0) {
    return "configurationKeys are deprecated; use environment variables instead";
  }
  if (events === undefined || events === null) return [];
  if (!Array.isArray(events) || !events.every((event) => typeof event === "string")) {
    return "events is not a list of names";
  }
  return events;
}

function refusalOf(event: string, isExternal: boolean): string | null {
  if (event === "INVOKE") return null;
  if (event !== "SHUTDOWN") return "ErrorInvalidEventType";
  return isExternal ? null : "ShutdownEventNotSupportedForInternalExtension";
}

const uuidPattern = /^(?:urn:uuid:)?\{?([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})\}?$/i;

/** The identifier of the request, in its usual form; null when it was refused. */
export function extensionId(request: IncomingMessage, response: ServerResponse): string | null {
  const given = header(request, "lambda-extension-identifier");
  if (given === "") {
    sendForbidden(response, "Extension.MissingExtensionIdentifier", "Missing Lambda-Extension-Identifier header");
    return null;
  }
  const parts = uuidPattern.exec(given);
  if (parts === null) {
    sendForbidden(response, "Extension.InvalidExtensionIdentifier", "Invalid Lambda-Extension-Identifier");
    return null;
  }
  return parts.slice(1).join("-").toLowerCase();
}

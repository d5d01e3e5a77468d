/** What a runtime does with a function of the SDK: calls it, holds its writes, and tells of its end in an outcome. */
import { AsyncLocalStorage } from "node:async_hooks";
import assert from "node:assert/strict";
import { contextForDirectCall } from "../../sdk/context.ts";
import { findDeclaredFunction } from "../../sdk/declared-function.ts";
import { type RuntimeHost, runtimeHostKey } from "../../sdk/runtime-host.ts";
import type { FunctionSpec } from "../../src/contract/deployment.ts";
import type { EventDelivery } from "../../src/contract/durable.ts";
import { parseEventTrigger } from "../../src/contract/trigger-options.ts";
import type { OutcomeDocument } from "../../src/wire/effects.ts";
import { Overlay } from "../../src/wire/overlay.ts";
import type { Handle, SimulatedNode } from "./node.ts";
import type { World } from "./world.ts";

const invocations = new AsyncLocalStorage<Overlay>();

function overlay(): Overlay {
  const found = invocations.getStore();
  assert.ok(found !== undefined, "state is used outside of an event's handler");
  return found;
}

const host: RuntimeHost = {
  invoke: () => Promise.reject(new Error("nothing to invoke here")),
  currentContext: () => null,
  registrations: [],
  state: {
    read: (read) => overlay().read(read),
    write: (effect) => overlay().write(effect),
    track: () => {},
    atomic: (work) => work(),
    async undoOnThrow(work) {
      const mark = overlay().mark();
      try {
        return await work();
      } catch (error) {
        overlay().undo(mark);
        throw error;
      }
    },
  },
};
(globalThis as { [runtimeHostKey]?: RuntimeHost })[runtimeHostKey] = host;

/** Thrown by a handler: its sandbox dies with it. */
export class Crash extends Error {
  override readonly name = "Crash";
}

/** An app: its exports by their names. Handlers are called as the platform would; some calls are refused, or end badly. */
export function guestOf(world: World, exported: Readonly<Record<string, unknown>>): Handle {
  return async (node, delivery) => {
    if (world.chance(0.05)) return "refused";
    const name = delivery.live.manifest.functions[delivery.functionNumber]?.name ?? "";
    const declared = findDeclaredFunction(exported[name]);
    assert.ok(declared !== null, `there is no function ${name}`);
    return await call(node, delivery, declared.handler as (payload: unknown, context: unknown) => unknown);
  };
}

async function call(
  { service, shop }: SimulatedNode,
  { document }: EventDelivery,
  handler: (payload: unknown, context: unknown) => unknown,
): Promise<OutcomeDocument | "crash"> {
  const held = new Overlay((read) => service.read(shop, read));
  const payload: unknown = JSON.parse(JSON.stringify(document.payload));
  try {
    const value = await invocations.run(held, async () => await handler(payload, contextForDirectCall()));
    const plain: unknown = JSON.parse(JSON.stringify(value ?? null));
    return { ok: true, value: plain, seen: held.seen(), effects: held.effects() };
  } catch (error) {
    if (error instanceof Crash) return "crash";
    if (error instanceof assert.AssertionError) throw error;
    const { name: type, message } = error as Error;
    return { ok: false, error: { type, message, stack: "" }, seen: held.seen() };
  }
}

/** What describing the app would find. */
export function functionsOf(exported: Readonly<Record<string, unknown>>): FunctionSpec[] {
  return Object.entries(exported).map(([name, value]) => {
    const declared = findDeclaredFunction(value);
    assert.ok(declared !== null && declared.kind !== "http");
    const triggers =
      declared.kind === "fn"
        ? []
        : [parseEventTrigger(declared.trigger.kind, declared.trigger.name, declared.trigger.options)];
    return { name, style: "event", triggers, group: "events" } as unknown as FunctionSpec;
  });
}

/** What may befall a handler at any of its awaits. */
export async function misfortune(world: World, longMs = 15_000): Promise<void> {
  await world.sleep(world.pick(world.chance(0.03) ? longMs : 100));
  if (world.chance(0.03)) throw new Crash();
  if (world.chance(0.08)) throw new Error("bad luck");
}

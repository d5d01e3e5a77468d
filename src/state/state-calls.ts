/** What an instance asks of state. Whose state it is follows from the instance, never from what it says. */
import type { Environment, StateService } from "../contract/durable.ts";
import { AloftError } from "../contract/errors.ts";
import type { ReadReply } from "../wire/effects.ts";
import type { CallMessage, CommitReply } from "../wire/messages.ts";
import type { Overlay } from "../wire/overlay.ts";
import type { Lines } from "./lines.ts";

export type StateCall = Exclude<CallMessage, { readonly op: "invoke" }>;

/** Answers what travels back to the guest; throws what the service throws. */
export async function answerStateCall(
  service: StateService,
  lines: Lines,
  environment: Environment,
  call: StateCall,
): Promise<unknown> {
  switch (call.op) {
    case "read":
      return await service.read(environment, call);
    case "enter":
      return await lines.enter(environment, call.where.slice(0, whereCharsMax));
    case "commit": {
      const { seen, effects, ticket } = call;
      try {
        const outcome = await service.commit(environment, { checks: [], writes: [], seen, effects });
        if (outcome.kind === "lost") throw new TypeError("a commit without checks of its own has lost one");
        return outcome satisfies CommitReply;
      } finally {
        if (ticket !== undefined) lines.leave(environment, ticket);
      }
    }
  }
}

/** The same in the name of an event: what is written is held until its outcome, and seen by what is read. */
export async function answerHeld(held: Overlay, call: StateCall): Promise<unknown> {
  switch (call.op) {
    case "read":
      return { value: await held.read(call), seen: [] } satisfies ReadReply;
    case "commit": {
      const results: unknown[] = [];
      for (const effect of call.effects) results.push(await held.write(effect));
      return { kind: "committed", version: 0, results } satisfies CommitReply;
    }
    case "enter":
      throw new AloftError("REQUEST_INVALID", "an event's writes meet no conflict before its outcome");
  }
}

const whereCharsMax = 1000;

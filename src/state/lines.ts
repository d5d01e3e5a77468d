/**
 * The line in front of a key that handlers conflict on: whoever met a conflict there reruns alone, so that each rerun makes
 * progress (rule 15). A place at the head is held until the commit, or until it was held too long.
 */
import type { Environment } from "../contract/durable.ts";
import { limits } from "../contract/limits.ts";
import { type Schedule, systemSchedule } from "../lib/schedule.ts";

export interface Lines {
  /** Resolves at the head of the line with the ticket to leave with. */
  enter(environment: Environment, where: string): Promise<number>;
  /** Does nothing for a ticket of another environment, or one that is no longer held. */
  leave(environment: Environment, ticket: number): void;
}

interface Holder {
  readonly line: string;
  readonly environmentId: number;
  readonly stopTimer: () => void;
}

export function createLines(schedule: Schedule = systemSchedule): Lines {
  /** Who waits behind the head; a line without a head is not in it. */
  const lines = new Map<string, ((ticket: number) => void)[]>();
  const holders = new Map<number, Holder>();
  let lastTicket = 0;

  function grant(line: string, environmentId: number): number {
    lastTicket += 1;
    const ticket = lastTicket;
    const stopTimer = schedule(limits.lineHoldMs, () => release(ticket));
    holders.set(ticket, { line, environmentId, stopTimer });
    return ticket;
  }

  function release(ticket: number): void {
    const holder = holders.get(ticket);
    if (holder === undefined) return;
    holders.delete(ticket);
    holder.stopTimer();
    const next = lines.get(holder.line)?.shift();
    if (next === undefined) lines.delete(holder.line);
    else next(grant(holder.line, holder.environmentId));
  }

  return {
    enter({ id, generation }, where) {
      const line = `${id} ${generation} ${where}`;
      const waiting = lines.get(line);
      if (waiting === undefined) {
        lines.set(line, []);
        return Promise.resolve(grant(line, id));
      }
      return new Promise((resolve) => waiting.push(resolve));
    },
    leave({ id }, ticket) {
      if (holders.get(ticket)?.environmentId === id) release(ticket);
    },
  };
}

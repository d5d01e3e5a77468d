/**
 * A batch that has failed as one and said when to try again: all of it waits that long, at no cost, and comes again in halves
 * (rule 11 of docs/exactly-once.md), so that a service that asked for a pause is not called once for each half at once. Both are
 * stored, for a restart must keep to them. Of a group the first message waits, and those behind it with it.
 */
import type { Write } from "../../contract/keyspace.ts";
import { limits } from "../../contract/limits.ts";
import { lanePrefix, type QueueKeys, type QueuePlace } from "../../state/queue/queue-keys.ts";
import { encodeMessage, type StoredMessage } from "../../state/queue/stored-message.ts";
import { halfOf, type Held } from "./message-window.ts";

export interface Deferral {
  readonly writes: readonly Write[];
  /** By how much the count of delayed messages rises. */
  readonly later: bigint;
  /** Messages that are somewhere else from now on. */
  readonly moved: ReadonlySet<Held>;
  /** Messages of groups that wait where they are. */
  readonly rewritten: readonly { readonly held: Held; readonly message: StoredMessage }[];
}

/** null: it would be too large for a commit; then the halves come at once. */
export function deferralOf(
  messages: readonly Held[],
  dueMs: number,
  place: QueuePlace,
  keys: QueueKeys,
): Deferral | null {
  if (messages.reduce((sum, { bytes }) => sum + bytes, 0) > limits.effectsBytes) return null;
  const batchMost = halfOf(messages);
  const writes: Write[] = [];
  const moved = new Set<Held>();
  const rewritten: { held: Held; message: StoredMessage }[] = [];
  const groups = new Set<string>();
  let later = 0n;
  for (const held of messages) {
    const { message, group, key, lane } = held;
    if (message === null || held.generation !== keys.generation) continue;
    if (group === null) {
      writes.push({ kind: "delete", key });
      const prefix = lanePrefix(place, keys, { dueMs });
      writes.push({ kind: "append", prefix, value: encodeMessage({ ...message, batchMost }) });
      if (lane !== "d") later += 1n;
      moved.add(held);
    } else if (!groups.has(group)) {
      groups.add(group);
      const paused = { ...message, batchMost, notBeforeMs: dueMs };
      writes.push({ kind: "set", key, value: encodeMessage(paused) });
      rewritten.push({ held, message: paused });
    }
  }
  return { writes, later, moved, rewritten };
}

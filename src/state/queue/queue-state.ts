/** The row of a queue that its senders and its owner share; there is none until somebody pauses or purges. */
import type { Entry } from "../../contract/keyspace.ts";

export interface QueueState {
  /** What was sent to an earlier one is purged. */
  readonly generation: number;
  readonly isPaused: boolean;
}

export interface QueueStateRow extends QueueState {
  /** 0: there is none. */
  readonly version: number;
}

export function queueStateOf(entry: Entry | null): QueueStateRow {
  if (entry === null) return { generation: 0, isPaused: false, version: 0 };
  const { generation, isPaused } = JSON.parse(Buffer.from(entry.value).toString()) as QueueState;
  return { generation, isPaused, version: entry.version };
}

export function encodeQueueState({ generation, isPaused }: QueueState): Uint8Array {
  return Buffer.from(JSON.stringify({ generation, isPaused }));
}

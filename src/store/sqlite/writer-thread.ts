/**
 * The writer's thread. Its loop never returns to the event loop: it takes all messages there are, commits a group, does a slice of
 * tidying, and sleeps on the shared word when there is nothing left.
 */
import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { asAloftError } from "../../contract/errors.ts";
import { limits } from "../../contract/limits.ts";
import type { Order } from "../order.ts";
import { BatchDecoder } from "./batch.ts";
import { Writer } from "./writer.ts";
import { type FromWriter, SharedWords, type ToWriter, type WriterSettings } from "./writer-messages.ts";

const port = parentPort;
if (port === null) throw new Error("the writer runs in a worker thread only");

/** The server's thread is the only one that starts this file, with settings of this type. */
const settings = workerData as WriterSettings;
const words = new SharedWords(settings.shared);
const batches: { readonly decoder: BatchDecoder; readonly nowMs: number }[] = [];
let isClosing = false;

const writer = openWriter();
if (writer !== null) run(writer);
port.close();

function openWriter(): Writer | null {
  try {
    return new Writer(settings, send);
  } catch (error) {
    const { code, message, hint } = asAloftError(error);
    const cause = code === "INTERNAL" ? `: ${String(error)}` : "";
    send({ kind: "failed", code, message: `${message}${cause}`, hint });
    return null;
  }
}

function run(writer: Writer): void {
  let isIdle = false;
  for (;;) {
    const { wake } = words;
    receive();
    if (batches.length > 0) {
      isIdle = false;
      commitGroup(writer);
      writer.tidy(false);
      continue;
    }
    if (isClosing) break;
    if (writer.tidy(isIdle)) continue;
    const isDone: boolean = isIdle && !writer.hasUnmerged;
    isIdle = words.sleep(wake, isDone ? Number.POSITIVE_INFINITY : settings.idleMs) === "timed-out";
  }
  writer.close();
}

function receive(): void {
  for (;;) {
    const received = receiveMessageOnPort(port ?? fail());
    if (received === undefined) return;
    const message: ToWriter = received.message;
    if (message.kind === "close") isClosing = true;
    else batches.push({ decoder: new BatchDecoder(message.bytes), nowMs: message.nowMs });
  }
}

/** What has gathered while the last group was under way, up to the limit. */
function commitGroup(writer: Writer): void {
  const orders: Order[] = [];
  let operations = 0;
  let nowMs = 0;
  while (operations < limits.groupOperations) {
    const [batch] = batches;
    if (batch === undefined) break;
    nowMs = Math.max(nowMs, batch.nowMs);
    const order = batch.decoder.next();
    if (order === null) {
      batches.shift();
      continue;
    }
    orders.push(order);
    operations += order.checks.length + order.writes.length;
  }
  if (orders.length > 0) writer.commit(orders, nowMs);
}

function send(message: FromWriter): void {
  const given = message.kind === "group" ? [message.answers.buffer] : [];
  if (message.kind === "group" && message.changes !== null) given.push(message.changes.buffer);
  port?.postMessage(message, given);
}

function fail(): never {
  throw new Error("the port is gone");
}

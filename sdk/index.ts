/**
 * What functions import as `aloft`.
 *
 *     import { http, fn } from "aloft";
 *     export const hello = http("GET /hello/:name", (request, { params }) => new Response(`Hello ${params.name}`));
 *     export const add = fn(({ a, b }: { a: number; b: number }) => a + b);
 */
export { atomic } from "./atomic.ts";
export { blob } from "./blob.ts";
export type {
  BlobBody,
  BlobDownloadUrlOptions,
  BlobEvent,
  BlobEventHandler,
  BlobEventOptions,
  BlobGetOptions,
  BlobInfo,
  BlobLinkOptions,
  BlobListOptions,
  BlobPutOptions,
  BlobStore,
  BlobUploadUrlOptions,
  StoredBlob,
} from "./blob-shapes.ts";
export type { Context, HttpContext } from "./context.ts";
export { type CronOptions, cron, every, type Tick, type TickHandler } from "./cron.ts";
export type { EventFunction } from "./event.ts";
export { type Fn, type FnHandler, fn, invoke } from "./fn.ts";
export { type HttpFunction, type HttpHandler, http } from "./http.ts";
export type { AsJson } from "./json.ts";
export {
  type Kv,
  type KvChange,
  type KvEntry,
  type KvListOptions,
  type KvReadOptions,
  type KvSetOptions,
  kv,
  type Stored,
} from "./kv.ts";
export {
  type CallDestination,
  callState,
  type CallState,
  cancelCall,
  type LaterCall,
  type LaterOptions,
} from "./later.ts";
export type { Duration, FunctionOptions, MemorySize } from "./options.ts";
export type { Method, Params, Route } from "./route.ts";
export {
  type DeadLetter,
  type Messages,
  NonRetryable,
  type Queue,
  type QueueFunction,
  type QueueHandler,
  type QueueMessage,
  type QueueOptions,
  type QueueRetry,
  queue,
  RetryAfter,
  type SendOptions,
  type SentMessage,
} from "./queue.ts";
export {
  type AppendOptions,
  type AppendResult,
  type BatchHandler,
  type ConsumeOptions,
  type Stream,
  type StreamOptions,
  type StreamRecord,
  stream,
} from "./stream.ts";
export type { Window, WindowHandler, WindowOptions, WindowSteps } from "./stream-window.ts";

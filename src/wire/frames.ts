/**
 * The frame protocol between a node and an instance: what a frame looks like. `docs/wire.md` specifies it byte by byte.
 *
 * A frame is a head of 12 bytes and a payload. All integers are little-endian.
 *
 *     0  u32  payload bytes, 0 to 65,524
 *     4  u8   type
 *     5  u8   flags
 *     6  u16  reserved, 0
 *     8  u32  stream id: the invocation the frame belongs to, 0 for the connection itself
 *
 * User code can write any byte on an instance's socket. So nothing in a frame says which app or deployment it comes
 * from (that is a property of the connection on the node's side), and a frame that is malformed, out of its stream's
 * state or for a stream that the node did not open ends the instance, never the node.
 */

export const protocolVersion = 1;

export const headBytes = 12;
/** Of a whole frame. Small enough that one stream's body cannot hold up the others for long. */
export const frameBytesMax = 64 * 1024;
export const payloadBytesMax = frameBytesMax - headBytes;

export const FrameType = {
  /** guest: JSON Hello. The first frame of a connection. */
  hello: 1,
  /** node: JSON Assign, in as many frames as it takes (flag `more`). */
  assign: 2,
  /** guest: JSON Ready, in as many frames as it takes. The code has been imported. */
  ready: 3,
  /** guest: JSON WireError. The code could not be imported. */
  failed: 4,
  /** node: opens a stream. */
  invoke: 5,
  /** guest: u32 stream ids whose handlers are called after this frame has been written. */
  begun: 6,
  /** guest: the answer's head and first body bytes. */
  head: 7,
  /** both: body bytes of a request or an answer. */
  body: 8,
  /** both: the sender's body ends here without being complete. UTF-8 reason. */
  reset: 9,
  /** guest: the invocation has ended. */
  outcome: 10,
  /** guest: asks the node for something in the invocation's name. */
  call: 11,
  /** node: answers a call. */
  reply: 12,
  /** guest: one log line. */
  log: 13,
  /** node: the invocation is no longer wanted; the guest aborts it and confirms with `outcome`. */
  cancel: 14,
  /** both: u32 more body bytes that the receiver of a body has room for. */
  credit: 15,
  /** node: u32 number, returned in pong. */
  ping: 16,
  /** guest: u32 number, u32 invocations in flight, f64 event-loop utilisation since the last pong, f64 heap bytes. */
  pong: 17,
  /** guest: while it waits for a deployment: it has prepared all it can. */
  warmed: 18,
  /** node: no more invocations will come; end when the last has. */
  drain: 19,
} as const;

export type FrameType = (typeof FrameType)[keyof typeof FrameType];

export const frameTypeMax = 19;

export const Flag = {
  /** The body is complete with this frame. */
  end: 1,
  /** The invocation has ended well with this frame; no outcome follows. */
  done: 2,
  /** The payload goes on in the next frame of the same type and stream. */
  more: 4,
} as const;

/** Bits that a frame may carry at all. */
export const flagsAll = Flag.end | Flag.done | Flag.more;

export const InvokeKind = {
  /** The handler gets a request and answers with a response. */
  http: 0,
  /** The handler gets one JSON value and answers with one. */
  call: 1,
  /** The handler gets an EventDocument and answers with an OutcomeDocument (`effects.ts`). */
  event: 2,
} as const;

export const CancelReason = {
  callerGone: 1,
  deadline: 2,
  /** Not begun yet: the node takes the invocation back to give it to another instance. */
  takenBack: 3,
} as const;

/** Body bytes a sender may have on the way on one stream and direction before it needs credit. */
export const streamWindowBytes = 256 * 1024;

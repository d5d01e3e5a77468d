/**
 * The resource `blob`: named stores of contents of any size, kept on the disk by their hash.
 *
 * Reads
 *   get      {key, snapshot?}                                        a BlobEntry or null
 *   list     {prefix?, start?, end?, limit?, reverse?, snapshot?}    a page of them
 *   stores   {}                                                      names
 *   begin    {}                                                      {upload}: a transfer
 *   push     {upload, b64}                                           null, when the piece has been written
 *   finish   {upload}                                                {upload, hash, size}: for an effect `set`, within an hour
 *   put      {b64}                                                   the same for what fits one piece
 *   open     {key} or {upload, hash}, {offset?}                      {transfer, entry, b64} or null: the first piece, and
 *                                                                    a transfer for the rest, null where there is none
 *   pull     {transfer, offset, length}                              {b64}
 *   end      {transfer}                                              null
 *   link     a signed link, which is no state: `open-state.ts` has it made by `blob-links.ts`
 *
 * Where there is b64, bytes may stand as they are over the wire (`bytes`); `raw: true` asks for them in an answer.
 *
 * Effects
 *   set      {key, value: {hash, contentType?, metadata?}, upload | from: {name, key}, ifAbsent?, ifVersion?}   whether it was done
 *   delete   {key, ifVersion?}                                                                                 whether it was done
 */
import type { CommitPlan, Environment, Resource } from "../../contract/durable.ts";
import { AloftError } from "../../contract/errors.ts";
import type { Entry, Keyspace } from "../../contract/keyspace.ts";
import { type BlobEntry, type BlobInfo, blobPieceBytes } from "../../wire/blob-shapes.ts";
import type { Effect, ReadReply, StateRead } from "../../wire/effects.ts";
import {
  type Args,
  assertResourceName,
  invalidArg,
  optionalInteger,
  optionalText,
  textArg,
  unknownMethod,
} from "../arguments.ts";
import { checkOfVersion, conditionOf, createKeyed, keyArg, type Layout } from "../keyed.ts";
import { decodeInfo, describedArg, encodeInfo, hashArg } from "./blob-info.ts";
import { blobEntries, blobKey, blobRange, pendingKey, refKey } from "./blob-keys.ts";
import { createBlobListeners } from "./blob-listeners.ts";
import type { Uploaded } from "./blob-contents.ts";
import type { BlobSessions } from "./blob-sessions.ts";

export interface BlobOptions {
  readonly keyspace: Keyspace;
  readonly sessions: BlobSessions;
  /** Contents of the environment may have lost the entry that named them. */
  readonly onFreed: (environment: Environment) => void;
  /** Takes the messages that tell of blobs. */
  readonly queue: Resource;
}

const layout: Layout = {
  kind: "blob",
  key: blobKey,
  range: blobRange,
  all: blobEntries,
  nameAt: 5,
  keyAt: 6,
  value: decodeInfo,
};

export function createBlob({ keyspace, sessions, onFreed, queue }: BlobOptions): Resource {
  const listenersOf = createBlobListeners(keyspace);
  const keyed = createKeyed(keyspace, layout);

  async function read(environment: Environment, { name, method, args }: StateRead): Promise<ReadReply> {
    if (method === "stores") return unchecked(await keyed.listStores(environment));
    assertResourceName("blob", name);
    switch (method) {
      case "get":
        return await keyed.get(environment, name, args);
      case "list":
        return await keyed.list(environment, name, args);
      case "begin":
        return unchecked({ upload: await sessions.begin(environment) });
      case "push":
        await sessions.push(environment, textArg(args, "upload"), pieceArg(args));
        return unchecked(null);
      case "finish":
        return unchecked(await finish(environment, textArg(args, "upload")));
      case "put": {
        const upload = await sessions.begin(environment);
        await sessions.push(environment, upload, pieceArg(args));
        return unchecked(await finish(environment, upload));
      }
      case "open":
        return await open(environment, name, args);
      case "pull": {
        const offset = optionalInteger(args, "offset", 0, Number.MAX_SAFE_INTEGER) ?? 0;
        const length = optionalInteger(args, "length", 0, blobPieceBytes) ?? blobPieceBytes;
        const transfer = textArg(args, "transfer");
        const bytes = await sessions.pull(environment, transfer, offset, length);
        // Nothing asked for, or the end: nobody goes on with it.
        if (bytes.length < length || length === 0) await sessions.end(environment, transfer);
        return unchecked(pieceOf(args, bytes));
      }
      case "end":
        await sessions.end(environment, textArg(args, "transfer"));
        return unchecked(null);
      default:
        throw unknownMethod("blob", method);
    }
  }

  async function finish(environment: Environment, upload: string): Promise<Uploaded> {
    // Should nothing ever name it.
    onFreed(environment);
    return await sessions.finish(environment, upload);
  }

  async function open(environment: Environment, name: string, args: Args): Promise<ReadReply> {
    const upload = optionalText(args, "upload");
    if (upload !== null) {
      const hash = hashArg(args);
      const [pending = null] = await keyspace.get([pendingKey(environment, hash, upload)]);
      const transfer = pending === null ? null : await sessions.open(environment, hash);
      return unchecked(transfer === null ? null : { ...(await firstPiece(environment, transfer, args)), entry: null });
    }
    // A content whose entry is replaced may be removed before it is opened: then the entry is another one.
    for (let tries = 0; tries < openTriesMax; tries++) {
      const { value, seen } = await keyed.get(environment, name, args);
      const entry = value as BlobEntry | null;
      if (entry === null) return { value: null, seen };
      const transfer = await sessions.open(environment, entry.value.hash);
      if (transfer !== null) return { value: { ...(await firstPiece(environment, transfer, args)), entry }, seen };
    }
    throw new AloftError("DATA_CORRUPT", `the content of the blob ${name}/${keyArg(args)} is not on the disk`, {
      hint: "restore a backup, or put it again",
    });
  }

  async function firstPiece(
    environment: Environment,
    transfer: string,
    args: Args,
  ): Promise<{ transfer: string | null } & Piece> {
    const offset = optionalInteger(args, "offset", 0, Number.MAX_SAFE_INTEGER) ?? 0;
    const bytes = await sessions.pull(environment, transfer, offset, blobPieceBytes);
    const isAll = bytes.length < blobPieceBytes;
    if (isAll) await sessions.end(environment, transfer);
    return { transfer: isAll ? null : transfer, ...pieceOf(args, bytes) };
  }

  async function plan({ name, method, args }: Effect, into: CommitPlan): Promise<unknown> {
    assertResourceName("blob", name);
    const key = keyArg(args);
    const entryKey = blobKey(into.environment, name, key);
    const [former = null] = await keyspace.get([entryKey]);
    into.check(checkOfVersion(entryKey, former?.version ?? 0));
    const condition = conditionOf(args);
    if (condition !== null && condition !== (former?.version ?? 0)) return false;
    const formerHash = former === null ? null : decodeInfo(former.value).hash;
    switch (method) {
      case "set": {
        const info = await contentOf(name, args, into);
        into.write({ kind: "set", key: entryKey, value: encodeInfo(info) });
        await tell("created", name, key, info, into);
        if (formerHash === info.hash) return true;
        into.write({ kind: "set", key: refKey(into.environment, info.hash, name, key), value: new Uint8Array(0) });
        break;
      }
      case "delete": {
        if (former === null) return true;
        into.write({ kind: "delete", key: entryKey });
        await tell("deleted", name, key, decodeInfo(former.value), into);
        break;
      }
      default:
        throw unknownMethod("blob", method);
    }
    if (formerHash !== null) {
      into.write({ kind: "delete", key: refKey(into.environment, formerHash, name, key) });
      onFreed(into.environment);
    }
    return true;
  }

  async function tell(
    on: "created" | "deleted",
    name: string,
    key: string,
    info: BlobInfo,
    into: CommitPlan,
  ): Promise<void> {
    for (const listener of await listenersOf(into.environment)) {
      if (listener.store !== name || !listener.on.includes(on) || !key.startsWith(listener.prefix)) continue;
      const body = { type: on, store: name, key, ...info };
      await queue.plan({ resource: "queue", name: listener.queue, method: "send", args: { body } }, into);
    }
  }

  /** What the new entry names: an upload that waits for it, or what another entry names. */
  async function contentOf(name: string, args: Args, into: CommitPlan): Promise<BlobInfo> {
    const { environment, nowMs } = into;
    const from = args["from"] as Args | undefined;
    if (from !== undefined && from !== null) {
      const source = blobKey(environment, optionalText(from, "name") ?? name, keyArg(from));
      const entry = await checked(source, into);
      if (entry === null) throw new AloftError("REQUEST_INVALID", `there is no blob "${keyArg(from)}" to copy`);
      const info = decodeInfo(entry.value);
      const value = args["value"] ?? {};
      const isDescribed = typeof value === "object" && ("contentType" in value || "metadata" in value);
      return { ...info, ...(isDescribed ? describedArg(value) : {}), createdAtMs: nowMs };
    }
    const hash = hashArg(args["value"]);
    const described = describedArg(args["value"]);
    const pending = pendingKey(environment, hash, textArg(args, "upload"));
    const entry = await checked(pending, into);
    if (entry === null) {
      throw new AloftError("UPLOAD_EXPIRED", "the upload waits for its blob no longer", { hint: "upload it again" });
    }
    into.write({ kind: "delete", key: pending });
    return { hash, size: Number(Buffer.from(entry.value).toString()), ...described, createdAtMs: nowMs };
  }

  async function checked(key: Uint8Array, into: CommitPlan): Promise<Entry | null> {
    const [entry = null] = await keyspace.get([key]);
    if (entry !== null) into.check({ kind: "version", key, version: entry.version });
    return entry;
  }

  return { kind: "blob", read, plan, checkOf: keyed.checkOf };
}

const openTriesMax = 5;

function unchecked(value: unknown): ReadReply {
  return { value, seen: [] };
}

type Piece = { readonly b64: string } | { readonly bytes: Uint8Array };

function pieceOf(args: Args, bytes: Buffer): Piece {
  return args["raw"] === true ? { bytes } : { b64: bytes.toString("base64") };
}

function pieceArg(args: Args): Uint8Array {
  const { b64, bytes: raw } = args;
  const bytes = typeof b64 === "string" ? Buffer.from(b64, "base64") : raw instanceof Uint8Array ? raw : null;
  if (bytes === null || bytes.length > blobPieceBytes) {
    throw invalidArg("b64", `must be at most ${blobPieceBytes} bytes as base64`);
  }
  return bytes;
}

/**
 * Bytes on their way between a guest and the disk, piece by piece: each piece is a call that is answered when the piece has
 * been written or read, so whoever is slower sets the pace, and a blob of any size takes the memory of a few pieces. A session
 * belongs to one environment and ends by itself when nobody goes on with it.
 */
import { randomBytes } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import type { Environment } from "../../contract/durable.ts";
import { AloftError } from "../../contract/errors.ts";
import { limits } from "../../contract/limits.ts";
import type { BlobContents, Upload, Uploaded } from "./blob-contents.ts";

export interface BlobSessions {
  begin(environment: Environment): Promise<string>;
  push(environment: Environment, id: string, bytes: Uint8Array): Promise<void>;
  finish(environment: Environment, id: string): Promise<Uploaded>;
  /** null: the content is not there. */
  open(environment: Environment, hash: string): Promise<string | null>;
  /** Empty behind the end. */
  pull(environment: Environment, id: string, offset: number, length: number): Promise<Buffer>;
  /** Of an upload: what was pushed is dropped. Does nothing when it has ended. */
  end(environment: Environment, id: string): Promise<void>;
  close(): Promise<void>;
}

interface Session {
  readonly environmentId: number;
  readonly body:
    | { readonly kind: "upload"; readonly upload: Upload }
    | { readonly kind: "file"; readonly file: FileHandle };
  readonly timer: NodeJS.Timeout;
  /** Pieces are handled one after the other. */
  last: Promise<unknown>;
}

export function createBlobSessions(contents: BlobContents): BlobSessions {
  const sessions = new Map<string, Session>();
  const counts = new Map<number, number>();

  function add(environment: Environment, body: Session["body"]): string {
    const id = randomBytes(16).toString("hex");
    counts.set(environment.id, (counts.get(environment.id) ?? 0) + 1);
    const timer = setTimeout(() => void drop(id).catch(() => {}), limits.blobIdleMs).unref();
    sessions.set(id, { environmentId: environment.id, body, timer, last: Promise.resolve() });
    return id;
  }

  function assertRoom({ id }: Environment): void {
    if ((counts.get(id) ?? 0) < limits.blobSessions) return;
    throw new AloftError("KEYSPACE_BUSY", `${limits.blobSessions} blobs of the app are being read and written already`);
  }

  function find(environment: Environment, id: string): Session {
    const session = sessions.get(id);
    if (session?.environmentId === environment.id) return session;
    throw new AloftError("REQUEST_INVALID", "the transfer of the blob has ended, or nobody went on with it in time");
  }

  function inTurn<T>(session: Session, work: () => Promise<T>): Promise<T> {
    session.timer.refresh();
    const done = session.last.then(work);
    session.last = done.catch(() => {});
    return done;
  }

  function remove(id: string): Session | null {
    const session = sessions.get(id);
    if (session === undefined) return null;
    sessions.delete(id);
    clearTimeout(session.timer);
    const count = (counts.get(session.environmentId) ?? 1) - 1;
    if (count === 0) counts.delete(session.environmentId);
    else counts.set(session.environmentId, count);
    return session;
  }

  async function drop(id: string): Promise<void> {
    const session = remove(id);
    if (session === null) return;
    await session.last;
    await (session.body.kind === "upload" ? session.body.upload.abort() : session.body.file.close());
  }

  return {
    async begin(environment) {
      assertRoom(environment);
      return add(environment, { kind: "upload", upload: await contents.begin(environment) });
    },
    async push(environment, id, bytes) {
      const session = find(environment, id);
      const { body } = session;
      if (body.kind !== "upload") throw new AloftError("REQUEST_INVALID", "the transfer is no upload");
      await inTurn(session, () => body.upload.write(bytes)).catch(async (error: unknown) => {
        await drop(id);
        throw error;
      });
    },
    async finish(environment, id) {
      const session = find(environment, id);
      const { body } = session;
      if (body.kind !== "upload") throw new AloftError("REQUEST_INVALID", "the transfer is no upload");
      remove(id);
      return await inTurn(session, () => body.upload.finish());
    },
    async open(environment, hash) {
      assertRoom(environment);
      const file = await contents.open(environment, hash);
      return file === null ? null : add(environment, { kind: "file", file });
    },
    async pull(environment, id, offset, length) {
      const session = find(environment, id);
      const { body } = session;
      if (body.kind !== "file") throw new AloftError("REQUEST_INVALID", "the transfer is no download");
      return await inTurn(session, async () => {
        const buffer = Buffer.allocUnsafe(length);
        const { bytesRead } = await body.file.read(buffer, 0, length, offset);
        return buffer.subarray(0, bytesRead);
      });
    },
    async end(environment, id) {
      if (sessions.get(id)?.environmentId === environment.id) await drop(id);
    },
    async close() {
      for (const id of sessions.keys()) await drop(id);
    },
  };
}

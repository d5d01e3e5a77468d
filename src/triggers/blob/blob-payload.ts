/** What a function that listens to a blob store is given: events for the SDK's handlers, records of S3 for Lambda's. */
import type { FunctionSpec } from "../../contract/deployment.ts";
import type { StoredMessage } from "../../state/queue/stored-message.ts";
import type { BlobInfo } from "../../wire/blob-shapes.ts";
import type { Consumer } from "../consumer.ts";
import { queuePayload } from "../queue/queue-payload.ts";

/** The body of the message that a commit of the store has sent (`state/blob/blob.ts`). */
interface BlobChange extends BlobInfo {
  readonly type: "created" | "deleted";
  readonly store: string;
  readonly key: string;
}

/** `consumer`: as it was declared, of the store. */
export function blobPayload(spec: FunctionSpec, consumer: Consumer, messages: readonly StoredMessage[]): unknown {
  if (spec.style === "lambda") return { Records: messages.map((message) => s3Record(consumer, message)) };
  const { messages: plain } = queuePayload(spec, "", messages) as { messages: unknown };
  return { store: consumer.name, messages: plain };
}

/** `photos created raw/a.png`, for the record. */
export function subjectOf({ name }: Consumer, [first, ...more]: readonly StoredMessage[]): string {
  const { type, key } = (first?.body ?? {}) as Partial<BlobChange>;
  return `${name} ${type ?? ""} ${key ?? ""}${more.length === 0 ? "" : ` and ${more.length} more`}`;
}

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html; the tag is a sha256, as of a get. */
function s3Record({ name, functionName }: Consumer, { id, body, sentAtMs }: StoredMessage): unknown {
  const { type, key, size, hash } = body as BlobChange;
  const isCreated = type === "created";
  return {
    eventVersion: "2.1",
    eventSource: "aws:s3",
    awsRegion: "local",
    eventTime: new Date(sentAtMs).toISOString(),
    eventName: isCreated ? "ObjectCreated:Put" : "ObjectRemoved:Delete",
    userIdentity: { principalId: "aloft" },
    requestParameters: { sourceIPAddress: "127.0.0.1" },
    responseElements: { "x-amz-request-id": id, "x-amz-id-2": id },
    s3: {
      s3SchemaVersion: "1.0",
      configurationId: functionName,
      bucket: { name, ownerIdentity: { principalId: "aloft" }, arn: `arn:aws:s3:::${name}` },
      object: {
        // As a form's field is written, but for its slashes.
        key: encodeURIComponent(key).replaceAll("%20", "+").replaceAll("%2F", "/"),
        ...(isCreated ? { size, eTag: hash } : {}),
        sequencer: id,
      },
    },
  };
}

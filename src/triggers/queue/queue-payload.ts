/** What the consumer of a queue is given: messages for the SDK's handlers, records of SQS for Lambda's. */
import { createHash } from "node:crypto";
import type { FunctionSpec } from "../../contract/deployment.ts";
import type { StoredMessage } from "../../state/queue/stored-message.ts";

export function queuePayload(spec: FunctionSpec, queue: string, messages: readonly StoredMessage[]): unknown {
  if (spec.style === "lambda") return { Records: messages.map((message) => sqsRecord(queue, message)) };
  return { queue, messages: messages.map((message) => plainMessage(message)) };
}

function plainMessage({ id, body, attempts, sentAtMs, group, priority, dead }: StoredMessage): unknown {
  return {
    id,
    body,
    attempt: attempts + 1,
    sentAtMs,
    ...(group === undefined ? {} : { group }),
    ...(priority === undefined ? {} : { priority }),
    ...(dead === undefined ? {} : { dead }),
  };
}

/** https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html; a body that is no text is told as its JSON. */
function sqsRecord(queue: string, message: StoredMessage): unknown {
  const body = typeof message.body === "string" ? message.body : JSON.stringify(message.body);
  return {
    messageId: message.id,
    receiptHandle: message.id,
    body,
    attributes: {
      ApproximateReceiveCount: String(message.attempts + 1),
      SentTimestamp: String(message.sentAtMs),
      SenderId: "aloft",
      ApproximateFirstReceiveTimestamp: String(message.sentAtMs),
      ...(message.group === undefined ? {} : { MessageGroupId: message.group, MessageDeduplicationId: message.id }),
    },
    messageAttributes: {},
    md5OfBody: createHash("md5").update(body).digest("hex"),
    eventSource: "aws:sqs",
    eventSourceARN: `arn:aws:sqs:local:000000000000:${queue}`,
    awsRegion: "local",
  };
}

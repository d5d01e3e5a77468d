/** The writer, but it dies at the sight of a certain value in a batch. */
import { Buffer } from "node:buffer";
import { BatchDecoder } from "./batch.ts";

const next = BatchDecoder.prototype.next;
BatchDecoder.prototype.next = function (this: BatchDecoder) {
  const order = next.call(this);
  for (const write of order?.writes ?? []) {
    if (write.kind === "set" && Buffer.from(write.value).toString() === "die") throw new Error("told to die");
  }
  return order;
};
await import("./writer-thread.ts");

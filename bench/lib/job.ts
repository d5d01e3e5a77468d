/** The two requests of the job and the answers they must get. */
import { strict as assert } from "node:assert";

export type JobKind = "get" | "post";

export interface JobRequest {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly body: string;
  readonly answer: string;
}

const postBytes = 1024;
const id = "5f1d7a84-aloft-bench";

export const jobs: Readonly<Record<JobKind, JobRequest>> = {
  get: { method: "GET", path: "/", body: "", answer: "hello" },
  post: { method: "POST", path: "/json", body: postBody(), answer: JSON.stringify({ id }) },
};

/** A document of exactly 1 KiB with the shape of a small order: strings, numbers and a list. */
function postBody(): string {
  const items = Array.from({ length: 12 }, (_, index) => ({
    sku: `A-${1000 + index}`,
    count: index + 1,
    price: 19.95,
  }));
  const document = { id, customer: "c-48121", currency: "EUR", items, note: "" };
  document.note = "n".repeat(postBytes - JSON.stringify(document).length);
  const body = JSON.stringify(document);
  assert.equal(Buffer.byteLength(body), postBytes);
  return body;
}

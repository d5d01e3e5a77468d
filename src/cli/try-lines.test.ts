import assert from "node:assert/strict";
import { test } from "node:test";
import type { FunctionJson } from "../contract/api.ts";
import { curlLine } from "./try-lines.ts";

function routed(method: string, path: string): FunctionJson {
  return {
    name: "f",
    style: "http",
    runtime: "node",
    group: "http",
    triggers: [{ kind: "http", method, path }],
    limits: {} as never,
    urls: [],
  };
}

const http = "http://127.0.0.1:8787";

test("a line of curl reaches the first function that takes the request", () => {
  const functions = [routed("POST", "/insight"), routed("GET", "/hello/:name"), routed("GET", "/")];
  const asks = curlLine({ http, app: "hello", functions, document: null });
  assert.equal(asks, "curl -s -H 'aloft-app: hello' http://127.0.0.1:8787/hello/ada");
  const sends = curlLine({ http, app: "insight", functions, document: "examples/insight/a text.txt" });
  assert.match(sends ?? "", /--data-binary '@examples\/insight\/a text\.txt' .* http:\/\/127\.0\.0\.1:8787\/insight$/);
  assert.match(curlLine({ http, app: "a", functions: [routed("*", "/*")], document: null }) ?? "", /8787\/$/);
});

test("without such a function there is no line", () => {
  assert.equal(curlLine({ http, app: "a", functions: [routed("GET", "/")], document: "x" }), null);
  assert.equal(curlLine({ http, app: "a", functions: [], document: null }), null);
});

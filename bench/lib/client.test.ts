import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { Connection, parseAnswer } from "./client.ts";

test("an answer is read whole, by its length or in chunks, and not before", () => {
  const sized = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
  const chunked = "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
  for (const text of [sized, chunked]) {
    for (let cut = 0; cut < text.length; cut += 1)
      assert.equal(parseAnswer(Buffer.from(text.slice(0, cut))), null, text.slice(0, cut));
    assert.equal(parseAnswer(Buffer.from(text))?.body, "hello");
  }
});

test("a connection is used again and opened again when the server says that it closes it", async () => {
  let sockets = 0;
  const server = createServer((request, response) => {
    if (request.url === "/last") response.setHeader("connection", "close");
    response.end(request.url);
  });
  server.on("connection", () => (sockets += 1));
  await once(server.listen(0, "127.0.0.1"), "listening");
  const connection = new Connection({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
  const bodies: string[] = [];
  for (const path of ["/a", "/last", "/b"]) bodies.push((await connection.ask({ method: "GET", path, body: "" })).body);
  assert.deepEqual(bodies, ["/a", "/last", "/b"]);
  assert.equal(sockets, 2);
  connection.close();
  server.close();
});

// The job on bare node:http: what one process can do with nothing in the way.
import { createServer } from "node:http";

const server = createServer((request, response) => {
  if (request.method !== "POST") {
    response.setHeader("content-type", "text/plain;charset=UTF-8");
    response.end("hello");
    return;
  }
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const { id } = JSON.parse(Buffer.concat(chunks).toString("utf8"));
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ id }));
  });
});
server.listen(Number(process.env.PORT), "127.0.0.1");

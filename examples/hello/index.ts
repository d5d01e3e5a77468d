/** The SDK's two kinds of functions: `http` answers requests, `fn` is called by name. */
import { fn, http } from "aloft";

export const hello = http("GET /", () => new Response("Hello from Aloft\n"));

// `params` has exactly the names that stand in the route.
export const greet = http("GET /hello/:name", async (_request, { params }) => {
  const greeting = await compose({ name: params.name });
  return Response.json(greeting);
});

export const echo = http("POST /echo", (request) => {
  const type = request.headers.get("content-type") ?? "application/octet-stream";
  // The body goes out as it comes in, however large it is.
  return new Response(request.body, { headers: { "content-type": type } });
});

// No address of its own: `aloft invoke hello/compose --data '{"name":"Ada"}'`, or a call from other code of the app.
export const compose = fn((input: { name: string }) => ({ greeting: `Hello, ${input.name}!` }));

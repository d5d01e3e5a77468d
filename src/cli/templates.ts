/** What `aloft init` writes: for each template the one file of code, and what its package.json needs besides a name. */

export interface Template {
  readonly entry: string;
  readonly code: string;
  /** npm packages the code imports; the SDK itself is supplied by the bundler. */
  readonly dependencies: Readonly<Record<string, string>>;
  /** A path that answers. */
  readonly path: string;
}

const httpCode = `import { fn, http } from "aloft";

export const hello = http("GET /", () => new Response("Hello from Aloft\\n"));

export const greet = http("GET /hello/:name", (_request, { params }) => {
  return Response.json({ hello: params.name });
});

// No address of its own: called with \`aloft invoke APP/add --data '{"a":1,"b":2}'\`.
export const add = fn((input: { a: number; b: number }) => ({ sum: input.a + input.b }));
`;

const fetchCode = `export default {
  async fetch(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname === "/") return new Response("Hello from Aloft\\n");
    return Response.json({ path: pathname, method: request.method });
  },
};
`;

const honoCode = `import { Hono } from "hono";

const app = new Hono();

app.get("/", (context) => context.text("Hello from Aloft\\n"));
app.get("/hello/:name", (context) => context.json({ hello: context.req.param("name") }));

export default app;
`;

const lambdaCode = `interface HttpEvent {
  readonly rawPath?: string;
  readonly queryStringParameters?: Readonly<Record<string, string>>;
}

export const handler = async (event: HttpEvent) => {
  const name = event.queryStringParameters?.["name"] ?? "Aloft";
  return {
    statusCode: 200,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ hello: name, path: event.rawPath ?? "/" }),
  };
};
`;

export const templates = {
  http: { entry: "index.ts", code: httpCode, dependencies: {}, path: "/hello/ada" },
  fetch: { entry: "index.ts", code: fetchCode, dependencies: {}, path: "/" },
  hono: { entry: "index.ts", code: honoCode, dependencies: { hono: "^4.13.0" }, path: "/hello/ada" },
  lambda: { entry: "index.ts", code: lambdaCode, dependencies: {}, path: "/?name=Ada" },
} as const satisfies Record<string, Template>;

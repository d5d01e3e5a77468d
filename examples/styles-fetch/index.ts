/** A module with `fetch`, as Workers, Bun and Deno run it. No SDK, no configuration; it takes every path. */
export default {
  async fetch(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    return Response.json({ style: "fetch", method: request.method, path: pathname });
  },
};

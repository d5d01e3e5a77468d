/** A module as Workers run it: `env` holds the app's variables, `ctx` what an invocation can ask for. */
interface Env {
  readonly GREETING?: string;
}

interface ExecutionContext {
  waitUntil(promise: Promise<unknown>): void;
  passThroughOnException(): void;
}

export default {
  async fetch(request: Request, env: Env, ctx: ExecutionContext): Promise<Response> {
    const { pathname } = new URL(request.url);
    ctx.waitUntil(Promise.resolve().then(() => console.log(`answered ${pathname}`)));
    return Response.json({ style: "workers", path: pathname, greeting: env.GREETING ?? "none set" });
  },
};

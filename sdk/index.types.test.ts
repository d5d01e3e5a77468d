/** What the types promise, checked by `tsc`: every line that must not compile says so. Nothing here is run. */
/* oxlint-disable typescript/no-generated-empty-object-type, typescript/no-unnecessary-type-parameters -- an empty type is
   what some of it is about, and comparing types exactly takes parameters that stand once */
import { test } from "node:test";
import { type AsJson, type Fn, fn, http, invoke, type Params } from "./index.ts";

test("types of parameters, inputs and outputs are exact", () => {
  void checkParams;
  void checkHttp;
  void checkFn;
  void checkJson;
});

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

function same<A, B>(_isSame: Same<A, B>): void {}

function checkParams(): void {
  same<Params<"/">, {}>(true);
  same<Params<"GET /links/:id">, { id: string }>(true);
  same<Params<"/links/:id">, { id: string }>(true);
  same<Params<"* /links/:id/:part">, { id: string; part: string }>(true);
  same<Params<"/files/*">, { "*": string }>(true);
  same<Params<"/users/:user/files/*">, { user: string; "*": string }>(true);
  same<Params<"/links/:id?">, { id?: string }>(true);
  same<Params<"/near/:lat-:lng/radius/:r">, { lat: string; lng: string; r: string }>(true);
  same<Params<"/:name.:extension">, { name: string; extension: string }>(true);
  same<Params<"/:a.:b-:c">, { a: string; b: string; c: string }>(true);
  same<Params<"/:a-:b.:c">, { a: string; b: string; c: string }>(true);
  same<Params<"/:id-suffix">, { id: string }>(true);
  same<Params<"/names::verb">, {}>(true);
  same<Params<string>, Record<string, string>>(true);
  same<Params<"GET /links/:id">, { name: string }>(false);
}

function checkHttp(): void {
  const follow = http("GET /links/:id", (_request, { params, signal, waitUntil }) => {
    same<typeof params, Readonly<{ id: string }>>(true);
    waitUntil(fetch("http://localhost/", { signal }));
    // @ts-expect-error the route has no parameter of this name
    return new Response(params.name);
  });
  void follow(new Request("http://localhost/links/1"));
  void follow(new Request("http://localhost/links/1"), { params: { id: "1" } });
  // @ts-expect-error parameters of a direct call are typed as well
  void follow(new Request("http://localhost/links/1"), { params: { name: "1" } });

  http("/", { timeout: "20s", memory: "512MiB", keepAlive: 0 }, async () => new Response());
  // @ts-expect-error a route begins with "/"
  http("links/:id", () => new Response());
  // @ts-expect-error not a method
  http("FETCH /links", () => new Response());
  // @ts-expect-error the handler must return a response
  http("/", () => "hello");
  // @ts-expect-error there is no such option
  http("/", { timeoutSeconds: 3 }, () => new Response());
  // @ts-expect-error a duration needs a unit
  http("/", { timeout: "20" }, () => new Response());
}

async function checkFn(): Promise<void> {
  const resize = fn(async ({ id }: { id: string }) => ({ url: `/${id}`, at: new Date() }));
  same<typeof resize, Fn<{ id: string }, { url: string; at: Date }>>(true);
  const resized = await resize({ id: "a" });
  same<typeof resized, { url: string; at: string }>(true);
  // @ts-expect-error the input is missing
  void resize();
  // @ts-expect-error the input has another type
  void resize({ id: 1 });

  const tick = fn({ timeout: 500 }, () => {});
  const ticked = await tick();
  same<typeof ticked, null>(true);

  const double = fn((n: number, { attempt }) => n * attempt);
  const doubled = await double(2);
  same<typeof doubled, number>(true);
  same<ReturnType<typeof double.handler>, number | Promise<number>>(true);

  const answer = await invoke<{ ok: boolean }>("other", { any: "thing" });
  same<typeof answer, { ok: boolean }>(true);
  same<Awaited<ReturnType<typeof invoke>>, unknown>(true);
}

interface Tree {
  readonly label: string;
  readonly children: readonly Tree[];
}

function checkJson(): void {
  same<AsJson<string>, string>(true);
  same<AsJson<"a" | 1 | null>, "a" | 1 | null>(true);
  same<AsJson<undefined>, null>(true);
  same<AsJson<Date>, string>(true);
  same<AsJson<(Date | undefined)[]>, (string | null)[]>(true);
  same<AsJson<[Date, number]>, [string, number]>(true);
  same<AsJson<{ a: number; b?: Date; c: string | undefined; d: () => void }>, { a: number; b?: string; c?: string }>(
    true,
  );
  same<AsJson<Map<string, number>>, {}>(false);
  same<AsJson<bigint>, never>(true);
  same<AsJson<unknown>, unknown>(true);
  const tree: AsJson<Tree> = { label: "a", children: [{ label: "b", children: [] }] };
  same<(typeof tree)["label"], string>(true);
}

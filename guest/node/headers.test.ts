import assert from "node:assert/strict";
import { test } from "node:test";
import { headersFrom, LightHeaders, pairsOf } from "./headers.ts";

type Init = ConstructorParameters<typeof Headers>[0];
type Either = Headers | LightHeaders;

/** The same steps on ours and on the web's own give the same. */
function bothGive(steps: (make: (init?: Init) => Either) => unknown): void {
  function run(make: (init?: Init) => Either): unknown {
    try {
      return steps(make);
    } catch (error) {
      return `throws ${(error as Error).name}`;
    }
  }
  assert.deepEqual(
    run((init) => new LightHeaders(init)),
    run((init) => new Headers(init)),
  );
}

const cases: [string, (make: (init?: Init) => Either) => unknown][] = [
  ["an empty one", (make) => [...make()]],
  ["a record", (make) => [...make({ B: "2", a: " 1 " })]],
  [
    "pairs",
    (make) => [
      ...make([
        ["b", "1"],
        ["B", "2"],
        ["a", ""],
      ]),
    ],
  ],
  ["another Headers", (make) => [...make(new Headers({ x: "y" }))]],
  ["a pair of three", (make) => make([["a", "b", "c"]] as unknown as Init)],
  ["null", (make) => make(null as unknown as Init)],
  ["a number", (make) => make(1 as unknown as Init)],
  ["a bad name", (make) => make({ "a b": "c" })],
  ["an empty name", (make) => make({ "": "c" })],
  ["a bad value", (make) => make({ a: "b\nc" })],
  ["a value outside latin1", (make) => make({ a: "\u0100" })],
  ["a number as a value", (make) => [...make({ a: 1 } as unknown as Init)]],
  [
    "append joins",
    (make) => {
      const h = make({ a: "1" });
      h.append("A", "2");
      return [h.get("a"), [...h]];
    },
  ],
  [
    "set replaces",
    (make) => {
      const h = make([
        ["a", "1"],
        ["a", "2"],
      ]);
      h.set("A", "3");
      return [...h];
    },
  ],
  [
    "delete",
    (make) => {
      const h = make({ a: "1" });
      h.delete("A");
      return [h.has("a"), h.get("a")];
    },
  ],
  [
    "cookies stay apart",
    (make) => {
      const h = make([
        ["set-cookie", "a=1"],
        ["x", "y"],
        ["Set-Cookie", "b=2"],
      ]);
      return [h.getSetCookie(), h.get("set-cookie"), [...h]];
    },
  ],
  [
    "set one cookie",
    (make) => {
      const h = make([
        ["set-cookie", "a=1"],
        ["set-cookie", "b=2"],
      ]);
      h.set("set-cookie", "c=3");
      return h.getSetCookie();
    },
  ],
  [
    "keys, values, entries",
    (make) => {
      const h = make({ b: "2", a: "1" });
      return [[...h.keys()], [...h.values()], [...h.entries()]];
    },
  ],
  [
    "forEach",
    (make) => {
      const seen: unknown[] = [];
      make({ b: "2", a: "1" }).forEach((value: string, name: string) => seen.push([name, value]));
      return seen;
    },
  ],
  ["too few arguments", (make) => (make() as unknown as { append(a: string): void }).append("a")],
  ["get with a bad name", (make) => make().get("a b")],
];

for (const [name, steps] of cases) test(`headers do as the web's own do: ${name}`, () => bothGive(steps));

test("ours and the web's own are both instances, and each takes the other", () => {
  const Ours = LightHeaders as unknown as typeof Headers;
  assert.ok(new LightHeaders() instanceof Ours);
  assert.equal({} instanceof Ours, false);
  assert.deepEqual([...new Headers(new LightHeaders({ a: "b" }) as unknown as Headers)], [["a", "b"]]);
  assert.equal(Object.prototype.toString.call(new LightHeaders()), "[object Headers]");
});

test("headers from the wire are joined as HTTP joins them", () => {
  const headers = headersFrom([
    "accept",
    "a",
    "accept",
    "b",
    "cookie",
    "x=1",
    "cookie",
    "y=2",
    "set-cookie",
    "p",
    "set-cookie",
    "q",
  ]);
  assert.equal(headers.get("accept"), "a, b");
  assert.equal(headers.get("cookie"), "x=1; y=2");
  assert.deepEqual(pairsOf(headers), ["accept", "a, b", "cookie", "x=1; y=2", "set-cookie", "p", "set-cookie", "q"]);
});

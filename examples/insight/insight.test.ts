import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { startTestServer } from "../../test/kit/server.ts";

const server = await startTestServer({ after });
await server.deploy(import.meta.dirname);

interface Insight {
  readonly words: number;
  readonly sentences: readonly { text: string; sentiment: number }[];
  readonly entities: readonly { value: string; type: string }[];
  readonly keywords: readonly { word: string; count: number }[];
}

async function insightOf(text: string): Promise<Insight> {
  const response = await server.fetch("insight", "/", { method: "POST", body: text });
  assert.equal(response.status, 200);
  return (await response.json()) as Insight;
}

test("a real document gives its sentences, entities, sentiment and keywords", async () => {
  const { words, sentences, entities, keywords } = await insightOf(
    await readFile(join(import.meta.dirname, "sample.txt"), "utf8"),
  );
  assert.equal(words, 280);
  assert.equal(sentences.length, 14);
  const sentimentOf = (part: string): number =>
    sentences.find(({ text }) => text.includes(part))?.sentiment ?? Number.NaN;
  assert.ok(sentimentOf("wonderful broadcast") > 0.5);
  assert.ok(sentimentOf("horrible fire") < -0.5);
  for (const entity of [
    { value: "20 July 1969", type: "DATE" },
    { value: "30 seconds", type: "DURATION" },
    { value: "https://www.nasa.gov", type: "URL" },
  ]) {
    assert.ok(
      entities.some(({ value, type }) => value === entity.value && type === entity.type),
      entity.value,
    );
  }
  assert.ok(
    keywords.some(({ word, count }) => word.toLowerCase() === "moon" && count >= 2),
    JSON.stringify(keywords),
  );
});

test("many texts at once each get their own answer", async () => {
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, index) => insightOf("This is a good day. ".repeat(index + 1))),
  );
  assert.deepEqual(
    answers.map(({ sentences }) => sentences.length),
    Array.from({ length: 20 }, (_, index) => index + 1),
  );
});

test("an empty text is the caller's mistake", async () => {
  const response = await server.fetch("insight", "/", { method: "POST", body: " " });
  assert.equal(response.status, 400);
  assert.match(await response.text(), /send the text/);
});

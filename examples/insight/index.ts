/** POST any English text, get what is in it: sentences with their sentiment, entities, keywords. */
import { http } from "aloft";
import model from "wink-eng-lite-web-model";
import winkNLP, { type ItemSentence } from "wink-nlp";

// Loaded once for each instance, before its first request.
const nlp = winkNLP(model);
const { its, as } = nlp;
const charactersMax = 1_000_000;

export const analyse = http("POST /", async (request) => {
  const text = await request.text();
  if (text.trim() === "") return problem("send the text as the request's body");
  if (text.length > charactersMax)
    return problem(`the text has ${text.length} characters, allowed are ${charactersMax}`);
  const startedAtMs = performance.now();
  const doc = nlp.readDoc(text);
  return Response.json({
    characters: text.length,
    words: doc
      .tokens()
      .filter((token) => token.out(its.type) === "word")
      .length(),
    sentiment: rounded(doc.out(its.sentiment) as unknown as number),
    sentences: sentencesOf(doc),
    entities: doc.entities().out(its.detail),
    keywords: keywordsOf(doc),
    tookMs: rounded(performance.now() - startedAtMs),
  });
});

type Doc = ReturnType<typeof nlp.readDoc>;

function sentencesOf(doc: Doc): { text: string; sentiment: number }[] {
  const sentences: { text: string; sentiment: number }[] = [];
  doc.sentences().each((sentence: ItemSentence) => {
    const text = sentence.out().trim();
    if (text !== "") sentences.push({ text, sentiment: rounded(sentence.out(its.sentiment) as unknown as number) });
  });
  return sentences;
}

/** Nouns, by how often they occur; the first fifteen. */
function keywordsOf(doc: Doc): { word: string; count: number }[] {
  const nouns = doc.tokens().filter((token) => {
    const isNoun = token.out(its.pos) === "NOUN" || token.out(its.pos) === "PROPN";
    return isNoun && !token.out(its.stopWordFlag) && token.out(its.normal).length > 2;
  });
  // The package's types leave the lemma out here; it is one of the readings like the others.
  const counts = nouns.out(its.lemma as typeof its.normal, as.freqTable) as unknown as [string, number][];
  return counts.slice(0, 15).map(([word, count]) => ({ word, count }));
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}

function problem(detail: string): Response {
  return Response.json(
    { status: 400, detail },
    { status: 400, headers: { "content-type": "application/problem+json" } },
  );
}

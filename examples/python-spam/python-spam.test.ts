import assert from "node:assert/strict";
import { after, test } from "node:test";
import { pythonMissing } from "../../test/kit/python.ts";
import { startTestServer } from "../../test/kit/server.ts";

const skip = pythonMissing() ?? false;

test(
  "messages are told apart, many at once, by a model that was trained before the first of them",
  { skip },
  async () => {
    const server = await startTestServer({ after });
    await server.deploy(import.meta.dirname);
    const judge = async (body: string): Promise<{ spam: number; words: string[] }> => {
      const response = await server.fetch("python-spam", "/", { method: "POST", body });
      assert.equal(response.status, 200);
      return (await response.json()) as { spam: number; words: string[] };
    };
    const messages: [text: string, isSpam: boolean][] = [
      ["You won a FREE prize, claim it now!", true],
      ["guaranteed cash, click now", true],
      ["verify your password or your account is suspended", true],
      ["shall we have lunch before the meeting on Thursday?", false],
      ["I will call mum this evening", false],
      ["the report is on the kitchen table", false],
    ];
    const verdicts = await Promise.all(messages.map(([text]) => judge(text)));
    for (const [n, [text, isSpam]] of messages.entries()) {
      const { spam } = verdicts[n] as { spam: number };
      assert.equal(spam > 0.5, isSpam, `${text}: ${spam}`);
    }
    assert.ok(verdicts[0]?.words.includes("claim"));
    assert.equal((await server.fetch("python-spam", "/")).status, 405);
  },
);

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { pythonMissing } from "../../test/kit/python.ts";
import { startTestServer } from "../../test/kit/server.ts";

const skip = pythonMissing() ?? false;

test("a series of temperatures has a rising trend, and nonsense is refused", { skip }, async () => {
  const server = await startTestServer({ after });
  await server.deploy(import.meta.dirname);
  const post = (body: string) =>
    server.fetch("python-trend", "/", { method: "POST", body, headers: { "content-type": "text/csv" } });
  const answer = await post(await readFile(join(import.meta.dirname, "sample.csv"), "utf8"));
  assert.equal(answer.status, 200);
  assert.deepEqual(await answer.json(), { values: 40, mean: 0.5165, slopePerUnit: 0.019459, p: 0, trend: "rising" });
  const flat = await post("1,5\n2,5\n3,5\n4,5\n5,5\n");
  assert.partialDeepStrictEqual(await flat.json(), { slopePerUnit: 0, p: 1, trend: "none" });
  const refused = await post("time,value\n1,2\nhello\n");
  assert.deepEqual([refused.status, await refused.json()], [400, { error: "line 3 is not a time and a value: hello" }]);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { contentDisposition } from "./content-disposition.ts";

test("a download is saved under the last part of its key, or under the name of its link", () => {
  const link = { method: "GET", store: "s", expiresAtMs: 0, disposition: "attachment" } as const;
  const table: [key: string, filename: string | null, expected: string][] = [
    ["raw/a.png", null, `attachment; filename="a.png"`],
    ["raw/", null, `attachment; filename="download"`],
    ["a", "my report.pdf", `attachment; filename="my report.pdf"`],
    ["a", `say "hi".txt`, `attachment; filename="say _hi_.txt"; filename*=UTF-8''say%20%22hi%22.txt`],
    ["bücher (1).txt", null, `attachment; filename="b_cher (1).txt"; filename*=UTF-8''b%C3%BCcher%20%281%29.txt`],
    ["a\r\nset-cookie: b", null, `attachment; filename="a__set-cookie: b"`],
  ];
  for (const [key, filename, expected] of table) assert.equal(contentDisposition({ ...link, key, filename }), expected);
  const shown = contentDisposition({ ...link, key: "a", filename: null, disposition: "inline" });
  assert.equal(shown, `inline; filename="a"`);
});

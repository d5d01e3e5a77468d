import { test } from "node:test";
import { overSeeds } from "./seeds.ts";

test("handlers are serialisable, phantoms included, and each message has its effects once", async () => {
  await overSeeds("effects", 600, { conflicts: 600, unknowns: 100, crashes: 600 });
});

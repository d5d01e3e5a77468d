import { test } from "node:test";
import { overSeeds } from "./seeds.ts";

test("a call that was acknowledged is made with its effects once, or failed, or was cancelled, and its end is told once", async () => {
  await overSeeds("calls", 300, {
    crashes: 200,
    clusters: 30,
    succeeded: 3_000,
    failed: 300,
    cancelled: 500,
    told: 1_000,
  });
});

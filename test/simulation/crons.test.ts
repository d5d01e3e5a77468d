import { test } from "node:test";
import { overSeeds } from "./seeds.ts";

test("no tick of a schedule takes effect twice or beside itself, and none is left out that may not be", async () => {
  await overSeeds("crons", 200, {
    crashes: 80,
    clockSteps: 100,
    clusters: 20,
    changes: 40,
    ticks: 3_000,
    complete: 10,
  });
});

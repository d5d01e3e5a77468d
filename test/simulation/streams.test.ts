import { test } from "node:test";
import { overSeeds } from "./seeds.ts";

test("no record of a stream is lost, none has its effects twice, and keys are in order while lanes and partitions change", async () => {
  await overSeeds("streams", 300, {
    crashes: 300,
    deploys: 300,
    pauses: 100,
    clusters: 30,
    dead: 300,
    redriven: 100,
  });
});

import { test } from "node:test";
import { overSeeds } from "./seeds.ts";

test("no message of a queue is lost, none has its effects twice, and groups are in order", async () => {
  await overSeeds("queues", 300, { crashes: 200, clockSteps: 30, clusters: 40, dead: 30 });
});

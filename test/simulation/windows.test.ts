import { test } from "node:test";
import { overSeeds } from "./seeds.ts";

test("windows are exact: each record is once in each of its windows, or late, and each window ends once", async () => {
  await overSeeds("windows", 300, { crashes: 200, clusters: 30, late: 500, windows: 5_000, exact: 100 });
});

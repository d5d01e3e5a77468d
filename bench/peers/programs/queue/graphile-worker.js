/** graphile-worker: its own pool of tasks, one row written for each job. */
import pg from "pg";
import { Logger, makeWorkerUtils, run } from "graphile-worker";
import { connection, done, measure, mode } from "./job.js";

const pool = new pg.Pool({ connectionString: connection, max: 24 });
await pool.query("drop table if exists done; create table done (n integer primary key)");
pool.on("error", console.error);
// A line for each job would be half of the work.
const logger = new Logger(() => () => {});
const utils = await makeWorkerUtils({ pgPool: pool, logger });
await utils.migrate();
const workerPool = new pg.Pool({ connectionString: connection, max: 26 });
workerPool.on("error", console.error);
await run({
  pgPool: workerPool,
  logger,
  concurrency: 24,
  noHandleSignals: true,
  taskList: {
    async job(payload) {
      await pool.query("insert into done values ($1) on conflict do nothing", [payload.n]);
      done(1);
    },
  },
});
await measure(async (numbers) => {
  if (mode === "batches") await utils.addJobs(numbers.map((n) => ({ identifier: "job", payload: { n } })));
  else await utils.addJob("job", { n: numbers[0] });
});

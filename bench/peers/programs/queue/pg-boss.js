/** pg-boss: workers that fetch as many as they may, one row written for each message. */
import pg from "pg";
import { PgBoss } from "pg-boss";
import { batch, connection, done, measure, mode } from "./job.js";

const pool = new pg.Pool({ connectionString: connection, max: 8 });
await pool.query("drop table if exists done; create table done (n integer primary key)");
const boss = new PgBoss({ connectionString: connection, max: 16 });
boss.on("error", (error) => console.error(error));
await boss.start();
await boss.createQueue("jobs");
const batchSize = mode === "batches" ? batch : 1;
// The work loops of the package wait between polls, so fetch and complete are called in loops of our own: the faster way.
for (let worker = 0; worker < (mode === "batches" ? 4 : 16); worker += 1) {
  void (async () => {
    for (;;) {
      const jobs = await boss.fetch("jobs", { batchSize });
      if (jobs.length === 0) {
        await new Promise((resolve) => setTimeout(resolve, 2));
        continue;
      }
      await pool.query("insert into done select unnest($1::int[]) on conflict do nothing", [
        jobs.map(({ data }) => data.n),
      ]);
      await boss.complete(
        "jobs",
        jobs.map(({ id }) => id),
      );
      done(jobs.length);
    }
  })();
}
await measure(async (numbers) => {
  if (mode === "batches")
    await boss.insert(
      "jobs",
      numbers.map((n) => ({ data: { n } })),
    );
  else await boss.send("jobs", { n: numbers[0] });
});

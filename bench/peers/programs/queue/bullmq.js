/** BullMQ: jobs one by one or in bulks, a worker with as many at once as help, one key written for each. */
import { Queue, Worker } from "bullmq";
import { Redis } from "ioredis";
import { connection, done, measure, mode } from "./job.js";

const port = Number(connection);
const open = () => new Redis({ host: "127.0.0.1", port, maxRetriesPerRequest: null });
const keys = open();
const queue = new Queue("jobs", { connection: open(), defaultJobOptions: { removeOnComplete: true } });
const worker = new Worker(
  "jobs",
  async (job) => {
    await keys.set(`done:${job.data.n}`, "1");
    done(1);
  },
  { connection: open(), concurrency: 100 },
);
await Promise.all([queue.waitUntilReady(), worker.waitUntilReady()]);
await measure(async (numbers) => {
  if (mode === "batches") await queue.addBulk(numbers.map((n) => ({ name: "job", data: { n } })));
  else await queue.add("job", { n: numbers[0] });
});

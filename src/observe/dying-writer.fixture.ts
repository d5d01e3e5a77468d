/** The writer, but it ends at a chunk in which the app "die" occurs. */
import { parentPort } from "node:worker_threads";
import type { ToWriter } from "./writer-messages.ts";

parentPort?.on("message", (message: ToWriter) => {
  if (message.kind === "write" && Buffer.from(message.chunk).includes("die")) process.exit(7);
});
await import("./writer-thread.ts");

/** Writes records for ever and prints how many are flushed; the crash test kills it. */
import { writeSync } from "node:fs";
import { systemClock } from "../lib/clock.ts";
import { openObserver } from "./observer.ts";

const retention = { records: { ageMs: Infinity } }; // starts count from 0
const observer = await openObserver({ folder: process.argv[2] ?? "", clock: systemClock, retention });
for (let number = 0; ; number++) {
  observer.record({
    id: number.toString(16).padStart(32, "0"),
    app: "shop",
    alias: "production",
    function: "cart",
    deployment: "d".repeat(40),
    trigger: "http",
    startedAtMs: number,
    waitUs: 1,
    coldUs: 0,
    handlerUs: 2,
    status: 200,
    outcome: "ok",
    attempt: 1,
    memoryBytes: 0,
    errorCode: "",
    errorMessage: "",
    subject: "GET /",
  });
  if (number % 1000 !== 999) continue;
  await observer.flush();
  writeSync(1, `${number + 1}\n`);
}

/** Loaded before each test file by soak.ts: properties that name no number of runs of their own get more of them. */
import fc from "fast-check";

const standardRuns = 100; // fast-check's own
fc.configureGlobal({ ...fc.readConfigureGlobal(), numRuns: standardRuns * Number(process.env["ALOFT_SOAK"] ?? 1) });

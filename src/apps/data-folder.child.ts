/** Holds the data folder given until it is killed; the test of the lock does that. */
import { openDataFolder } from "./data-folder.ts";

await openDataFolder(process.argv[2] ?? "");
process.stdout.write("held\n");
process.stdin.resume();

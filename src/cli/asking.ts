/** Questions to the person at the terminal. They stand on stderr: stdout is for results. */
import { createInterface } from "node:readline/promises";
import type { Terminal } from "./terminal.ts";

/** Whether the answer was yes. */
export async function confirm(question: string, terminal: Terminal): Promise<boolean> {
  const reader = createInterface({ input: terminal.stdin, output: terminal.noteStream, terminal: true });
  try {
    return /^y(?:es)?$/i.test((await reader.question(`${question} [y/N] `)).trim());
  } finally {
    reader.close();
  }
}

/** A line that is not shown while it is typed. */
export async function askHidden(question: string, terminal: Terminal): Promise<string> {
  terminal.noteStream.write(question);
  const reader = createInterface({ input: terminal.stdin, terminal: true });
  try {
    return await reader.question("");
  } finally {
    reader.close();
    terminal.note("");
  }
}

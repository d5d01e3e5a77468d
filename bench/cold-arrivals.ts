/** Requests to many apps, spaced or all together; the time of each first byte in microseconds, in the order of the apps. */
import type { App } from "./aloft/apps.ts";
import { askOnce } from "./lib/client.ts";

/** One every `spacingMs`, whether or not the one before has been answered. Throws when an answer is not the app's own. */
export async function askSpaced(url: string, apps: readonly App[], spacingMs: number): Promise<number[]> {
  const startedMs = performance.now();
  const answers: Promise<number>[] = [];
  for (const [index, app] of apps.entries()) {
    const waitMs = startedMs + index * spacingMs - performance.now();
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, waitMs)));
    const answer = askApp(url, app);
    // Awaited below; until then its failure must not count as unhandled.
    answer.catch(() => null);
    answers.push(answer);
  }
  return Promise.all(answers);
}

export function askTogether(url: string, apps: readonly App[]): Promise<number[]> {
  return Promise.all(apps.map((app) => askApp(url, app)));
}

async function askApp(url: string, app: App): Promise<number> {
  const answer = await askOnce({ url, host: `${app.name}.localhost` }, { method: "GET", path: "/", body: "" });
  if (answer.status === 200 && answer.body === app.name) return answer.firstByteUs;
  throw new Error(`${app.name} answered ${answer.status}: ${answer.body.slice(0, 500)}`);
}

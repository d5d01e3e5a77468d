/**
 * The `Running` port in memory, for tests: an "app" is a JSON file, and importing it means reading it.
 *
 *   { "functions": ["name", ...],      each an http function at /NAME
 *     "breaksWith": "NAME=VALUE" }     the import fails when the variable NAME has this value
 *
 * It holds callers to the port: what is published was prepared and not abandoned, and its files are all there.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { DescribedFunction, LiveDeployment } from "../contract/deployment.ts";
import { AloftError } from "../contract/errors.ts";
import type { DescribeRequest, Running } from "../contract/running.ts";

interface AppCode {
  readonly functions: readonly string[];
  readonly breaksWith?: string;
}

export class InMemoryRunning implements Running {
  readonly described: string[] = [];
  readonly prepared: LiveDeployment[] = [];
  readonly live = new Map<string, LiveDeployment>();
  /** Revisions that were live and have instances still. */
  readonly #draining = new Set<string>();
  readonly #running = new Map<string, LiveDeployment>();
  /** Awaited by every `prepare`; tests replace it to hold one up. */
  beforePrepare: (live: LiveDeployment) => Promise<void> = () => Promise.resolve();

  assertRunnable(): void {}

  async describe({ app, root, entry, variableNames }: DescribeRequest): Promise<readonly DescribedFunction[]> {
    this.described.push(`${app} ${variableNames.join(",")}`.trim());
    return readCode(root, entry).functions.map((name) => ({
      name,
      style: "http",
      triggers: [{ kind: "http", method: "GET", path: `/${name}` }],
      limits: {},
    }));
  }

  async prepare(live: LiveDeployment): Promise<void> {
    await this.beforePrepare(live);
    const { breaksWith } = readCode(live.root, live.manifest.entry);
    const [name = "", value] = breaksWith?.split("=") ?? [];
    if (value !== undefined && live.variables[name] === value) {
      throw new AloftError("FUNCTION_START_FAILED", `${live.manifest.entry}:1: ${name} must not be ${value}`);
    }
    for (const file of live.manifest.files) assert.equal(readFileSync(join(live.root, file.path)).length, file.bytes);
    this.prepared.push(live);
    this.#running.set(live.revision, live);
  }

  abandon(live: LiveDeployment): void {
    this.#running.delete(live.revision);
  }

  publish(app: string, alias: string, live: LiveDeployment | null): void {
    const former = this.live.get(`${app}/${alias}`);
    if (former !== undefined) this.#draining.add(former.revision);
    this.live.delete(`${app}/${alias}`);
    if (live === null) return;
    assert.ok(this.#running.has(live.revision), `${live.revision} is published without being prepared`);
    this.live.set(`${app}/${alias}`, live);
  }

  runningRevisions(): ReadonlySet<string> {
    return new Set(this.#running.keys());
  }

  /** The instances of everything that is not live have finished what they had. */
  endDrained(): void {
    const live = new Set([...this.live.values()].map((each) => each.revision));
    for (const revision of this.#draining) if (!live.has(revision)) this.#running.delete(revision);
    this.#draining.clear();
  }
}

function readCode(root: string, entry: string): AppCode {
  const text = readFileSync(join(root, entry), "utf8");
  try {
    return JSON.parse(text) as AppCode;
  } catch (error) {
    throw new AloftError("DESCRIBE_FAILED", `${entry}:1: SyntaxError`, { cause: error });
  }
}

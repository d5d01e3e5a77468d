/** Learns what an app's code exports: imports it once in a process that serves nothing, and reads what that says. */
import type { DescribedFunction } from "../contract/deployment.ts";
import { AloftError } from "../contract/errors.ts";
import { limits } from "../contract/limits.ts";
import type { DescribeRequest } from "../contract/running.ts";
import type { Assign, ReplyMessage } from "../wire/messages.ts";
import { parseDescription } from "./description.ts";
import type { Instance, InstanceOwner } from "./instance.ts";
import type { InstanceLog } from "./instance-logs.ts";

/** What a variable holds while the code is described: names are known then, values are not given away. */
const placeholder = "aloft-placeholder";

export class Describing implements InstanceOwner {
  readonly #assign: Assign;
  readonly #promise: Promise<readonly DescribedFunction[]>;
  readonly #output: string[] = [];
  #resolve: (functions: readonly DescribedFunction[]) => void = () => {};
  #reject: (error: Error) => void = () => {};
  #instance: Instance | null = null;
  #untilMs = Number.POSITIVE_INFINITY;
  #isLate = false;

  constructor(request: DescribeRequest) {
    this.#assign = {
      mode: "describe",
      app: request.app,
      alias: "",
      deployment: "",
      root: request.root,
      entry: request.entry,
      functions: (request.programs ?? []).map(({ name, program }) => ({
        name,
        timeoutMs: limits.describeMs,
        handler: program.handler,
      })),
      lambda: null,
      variables: Object.fromEntries(request.variableNames.map((name) => [name, placeholder])),
      memoryMiB: limits.describeMemoryMiB,
    };
    this.#promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** `sweep` has to be called meanwhile: an import may never end, or take all memory. */
  async run(instance: Instance, nowMs: number): Promise<readonly DescribedFunction[]> {
    this.#instance = instance;
    this.#untilMs = nowMs + limits.describeMs;
    if (instance.state === "zygote") instance.assign(this.#assign, "none");
    try {
      return await this.#promise;
    } finally {
      instance.kill("retired");
    }
  }

  sweep(nowMs: number, checkMemory: boolean): void {
    if (nowMs >= this.#untilMs) {
      this.#isLate = true;
      this.#instance?.kill("start");
    } else if (checkMemory) {
      // What an import allocates beside V8's heap is bounded by nobody else.
      this.#instance?.measureMemory();
    }
  }

  instanceHello(instance: Instance): void {
    instance.assign(this.#assign, "none");
  }

  instanceReady(_instance: Instance, description: unknown): void {
    try {
      this.#resolve(parseDescription(description));
    } catch (error) {
      this.#reject(error as Error);
    }
  }

  instanceFreed(): void {}

  instanceLogged(_instance: Instance, log: InstanceLog): void {
    if (this.#output.length < 20) this.#output.push(log.message.slice(0, 500));
  }

  async instanceCalled(): Promise<ReplyMessage> {
    return {
      ok: false,
      code: "INVOCATION_ENDED",
      type: "Error",
      message: "functions cannot be called while code is imported",
      stack: "",
    };
  }

  instanceGone(_instance: Instance, error: AloftError): void {
    if (this.#isLate) {
      this.#reject(
        new AloftError("DESCRIBE_FAILED", `importing the code took longer than ${limits.describeMs / 1000} s`, {
          hint: "an import must end: move endless work into a handler",
          detail: this.#outputDetail(),
        }),
      );
      return;
    }
    if (error.fault === "platform") {
      this.#reject(error);
      return;
    }
    const hint =
      error.code === "FUNCTION_OUT_OF_MEMORY"
        ? `importing the code must not need more than ${limits.describeMemoryMiB} MiB`
        : "variables hold placeholders and there is no network while code is imported: use them inside handlers";
    this.#reject(
      new AloftError("DESCRIBE_FAILED", error.message, { hint, detail: { ...error.detail, ...this.#outputDetail() } }),
    );
  }

  #outputDetail(): Record<string, unknown> {
    return this.#output.length === 0 ? {} : { output: this.#output };
  }
}

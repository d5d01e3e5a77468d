/** Loads a deployment of Node code: imports its entry and reads its exports. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Assign } from "../../src/wire/messages.ts";
import { lambdaEnvironment, nodeExecutionEnvironment } from "./lambda.ts";
import { loadFunctions } from "./load.ts";
import type { LoadedFunction } from "./loaded-function.ts";
import type { LoadParts } from "./runtime.ts";
import { mapStacks } from "./stacks.ts";

export async function importFunctions(
  assign: Assign,
  { registrations }: LoadParts,
): Promise<readonly LoadedFunction[]> {
  if (assign.lambda !== null) {
    const handler = `${assign.entry.replace(/\.[^./]+$/, "")}.${assign.lambda}`;
    const executionEnvironment = nodeExecutionEnvironment;
    Object.assign(
      process.env,
      lambdaEnvironment({ ...assign, functionName: assign.lambda, handler, executionEnvironment }),
    );
  }
  Object.assign(process.env, assign.variables);
  process.chdir(assign.root);
  mapStacks(assign.root);
  const namespace = (await import(pathToFileURL(join(assign.root, assign.entry)).href)) as Record<string, unknown>;
  return loadFunctions(namespace, registrations, { ...assign.variables });
}

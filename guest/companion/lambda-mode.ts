/**
 * Functions that speak the AWS Lambda Runtime API by themselves:
 *
 *   provided   the executable `bootstrap` of the folder, or of its layers
 *   nodejs     a Node handler, driven by AWS's own client: the package `aws-lambda-ric` of the folder
 *
 * External extensions are the executables of the folder `extensions/`, of layers and of the app.
 */
import { accessSync, constants, existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Assign, AssignProgram } from "../../src/wire/messages.ts";
import {
  lambdaAccountId,
  lambdaEnvironment,
  lambdaName,
  lambdaVersion,
  nodeExecutionEnvironment,
} from "../node/lambda-context.ts";
import type { LoadedFunction } from "../node/loaded-function.ts";
import type { LoadParts } from "../node/runtime.ts";
import { programEnvironment } from "./http-mode.ts";
import { Environment, EnvironmentError } from "./lambda/environment.ts";
import { functionOf, thrownBy } from "./lambda/lambda-function.ts";
import { findLayers } from "./layers.ts";

const clientPackage = "aws-lambda-ric";
/** AWS's own; what takes longer has the time of its first invocation. */
const initMs = 10_000;

export async function startLambdaProgram(
  assign: Assign,
  program: AssignProgram,
  parts: LoadParts,
): Promise<LoadedFunction> {
  const { app, deployment, root, memoryMiB } = assign;
  const functionName = assign.lambda ?? "default";
  const name = lambdaName(app, functionName);
  const handler = program.handler === "" ? functionName : program.handler;
  const executionEnvironment = program.runtime === "nodejs" ? nodeExecutionEnvironment : "";
  const surroundings = { app, functionName, deployment, handler, root, memoryMiB, executionEnvironment };
  const { AWS_REGION = "", AWS_DEFAULT_REGION = "", TZ = "", ...reserved } = lambdaEnvironment(surroundings);
  const environment = new Environment({
    facts: { accountId: lambdaAccountId, functionName: name, functionVersion: lambdaVersion, handler, memoryMiB },
    argv: argvOf(root, program),
    cwd: root,
    env: { AWS_REGION, AWS_DEFAULT_REGION, TZ, ...programEnvironment(assign, reserved) },
    extensions: extensionsOf(root),
    initMs,
    printed: (descriptor, line, extension) => {
      parts.printed(descriptor, extension === null ? line : `[${extension}] ${line}`);
    },
  });
  parts.onDrained = () => environment.shutdown("spindown");
  try {
    await environment.open();
  } catch (error) {
    if (error instanceof EnvironmentError) throw thrownBy(error.error);
    throw error;
  }
  return functionOf(environment, name);
}

function argvOf(root: string, { runtime, handler }: AssignProgram): readonly string[] {
  if (runtime === "nodejs") return [process.execPath, clientOf(root), handler];
  const layers = findLayers(root);
  const own = join(root, "bootstrap");
  return [layers === null || existsSync(own) ? own : join(layers, "bootstrap")];
}

/** The file that the package runs as its command. */
function clientOf(root: string): string {
  const inLayers = join(findLayers(root) ?? root, "nodejs", "node_modules", clientPackage);
  const own = join(root, "node_modules", clientPackage);
  const folder = existsSync(own) ? own : inLayers;
  try {
    const { bin } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { bin?: unknown };
    const named = typeof bin === "string" ? bin : (bin as Record<string, unknown> | undefined)?.[clientPackage];
    return join(folder, typeof named === "string" ? named : "index.mjs");
  } catch {
    throw new Error(`the runtime nodejs needs the package ${clientPackage} in the folder's node_modules`);
  }
}

/** Those of layers and, beside AWS, of the folder itself. */
function extensionsOf(root: string): readonly string[] {
  const layers = findLayers(root);
  return [
    ...(layers === null ? [] : executablesIn(join(layers, "extensions"))),
    ...executablesIn(join(root, "extensions")),
  ];
}

/** In the order of their names. A folder of this name may hold other things: only what is executable counts. */
function executablesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
      .toSorted()
      .map((name) => join(folder, name))
      .filter((path) => statSync(path).isFile() && isExecutable(path));
  } catch {
    return [];
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The second argument of a Lambda handler, and the variables a Lambda function finds in its environment. */
import type { Context } from "../../sdk/index.ts";

export interface LambdaContext {
  /** false: the answer of a callback ends the invocation although timers of the handler still run. */
  callbackWaitsForEmptyEventLoop: boolean;
  readonly functionName: string;
  readonly functionVersion: string;
  readonly invokedFunctionArn: string;
  readonly memoryLimitInMB: string;
  readonly awsRequestId: string;
  readonly logGroupName: string;
  readonly logStreamName: string;
  readonly identity: undefined;
  readonly clientContext: undefined;
  readonly getRemainingTimeInMillis: () => number;
  /** The three from before callbacks: they end the invocation. */
  readonly done: LambdaCallback;
  readonly fail: (error: unknown) => void;
  readonly succeed: (result?: unknown) => void;
}

export type LambdaCallback = (error?: unknown, result?: unknown) => void;

/** A plain object, for handlers spread it. */
export function lambdaContext(context: Context, finish: LambdaCallback): LambdaContext {
  const env = process.env;
  const functionName = env["AWS_LAMBDA_FUNCTION_NAME"] ?? context.function;
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionName,
    functionVersion: env["AWS_LAMBDA_FUNCTION_VERSION"] ?? "$LATEST",
    invokedFunctionArn: `arn:aws:lambda:${env["AWS_REGION"] ?? defaultRegion}:000000000000:function:${functionName}`,
    memoryLimitInMB: env["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] ?? "256",
    awsRequestId: context.invocationId,
    logGroupName: env["AWS_LAMBDA_LOG_GROUP_NAME"] ?? `/aws/lambda/${functionName}`,
    logStreamName: env["AWS_LAMBDA_LOG_STREAM_NAME"] ?? "$LATEST",
    identity: undefined,
    clientContext: undefined,
    getRemainingTimeInMillis: () => Math.max(0, Math.floor(context.deadline - Date.now())),
    done: finish,
    fail: (error) => finish(error ?? new Error("the handler called context.fail")),
    succeed: (result) => finish(null, result),
  };
}

export interface LambdaSurroundings {
  readonly app: string;
  readonly functionName: string;
  readonly deployment: string;
  /** Path of the imported file, relative to `root`. */
  readonly entry: string;
  readonly root: string;
  readonly memoryMiB: number;
}

/** To be set before the code is imported; what the user has set goes over `AWS_REGION` and `TZ`. */
export function lambdaEnvironment(surroundings: LambdaSurroundings): Record<string, string> {
  const { app, functionName, deployment, entry, root, memoryMiB } = surroundings;
  const name = `${app}-${functionName}`;
  const day = new Date().toISOString().slice(0, 10).replaceAll("-", "/");
  return {
    AWS_LAMBDA_FUNCTION_NAME: name,
    AWS_LAMBDA_FUNCTION_VERSION: "$LATEST",
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE: String(memoryMiB),
    AWS_LAMBDA_LOG_GROUP_NAME: `/aws/lambda/${name}`,
    AWS_LAMBDA_LOG_STREAM_NAME: `${day}/[$LATEST]${deployment.slice(0, 32)}`,
    AWS_LAMBDA_INITIALIZATION_TYPE: "on-demand",
    AWS_EXECUTION_ENV: `AWS_Lambda_nodejs${process.versions.node.split(".")[0]}.x`,
    AWS_REGION: defaultRegion,
    AWS_DEFAULT_REGION: defaultRegion,
    LAMBDA_TASK_ROOT: root,
    LAMBDA_RUNTIME_DIR: "/var/runtime",
    TZ: ":UTC",
    _HANDLER: `${entry.replace(/\.[^./]+$/, "")}.${functionName}`,
  };
}

/** AWS's clients want a region even where it means nothing. */
const defaultRegion = "us-east-1";

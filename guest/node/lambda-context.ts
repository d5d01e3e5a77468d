/** The second argument of a Lambda handler, and the variables a Lambda function finds in its environment. */
import type { Context } from "../../sdk/index.ts";
import { clientContextHeader, cognitoIdentityHeader } from "../../src/wire/messages.ts";
import { InvocationContext } from "./invocation.ts";

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
  /** `{ cognitoIdentityId, cognitoIdentityPoolId }`; undefined unless the caller said it, here and below. */
  readonly identity: unknown;
  /** `{ client, custom, env }` */
  readonly clientContext: unknown;
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
  const { clientContext, cognitoIdentity } = saidByCaller(context);
  const functionName = env["AWS_LAMBDA_FUNCTION_NAME"] ?? context.function;
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionName,
    functionVersion: env["AWS_LAMBDA_FUNCTION_VERSION"] ?? lambdaVersion,
    invokedFunctionArn: lambdaArn(functionName),
    memoryLimitInMB: env["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] ?? "256",
    awsRequestId: context.invocationId,
    logGroupName: env["AWS_LAMBDA_LOG_GROUP_NAME"] ?? `/aws/lambda/${functionName}`,
    logStreamName: env["AWS_LAMBDA_LOG_STREAM_NAME"] ?? "$LATEST",
    identity: parsed(cognitoIdentity),
    clientContext: parsed(clientContext),
    getRemainingTimeInMillis: () => Math.max(0, Math.floor(context.deadline - Date.now())),
    done: finish,
    fail: (error) => finish(error ?? new Error("the handler called context.fail")),
    succeed: (result) => finish(null, result),
  };
}

/** JSON; "" for none. */
export function saidByCaller(context: Context): { readonly clientContext: string; readonly cognitoIdentity: string } {
  if (!(context instanceof InvocationContext)) return { clientContext: "", cognitoIdentity: "" };
  return {
    clientContext: context.saidByCaller(clientContextHeader),
    cognitoIdentity: context.saidByCaller(cognitoIdentityHeader),
  };
}

function parsed(json: string): unknown {
  return json === "" ? undefined : JSON.parse(json);
}

export interface LambdaSurroundings {
  readonly app: string;
  readonly functionName: string;
  readonly deployment: string;
  /** `module.function`, as AWS writes it. */
  readonly handler: string;
  readonly root: string;
  readonly memoryMiB: number;
  /** "" for programs that bring their own runtime: AWS does not name one to them either. */
  readonly executionEnvironment: string;
}

/** Of functions on this Node. */
export const nodeExecutionEnvironment = `AWS_Lambda_nodejs${process.versions.node.split(".")[0]}.x`;

export const lambdaAccountId = "000000000000";
export const lambdaVersion = "$LATEST";

/** The name under which AWS's clients know a function; those of an app never meet those of another. */
export function lambdaName(app: string, functionName: string): string {
  return `${app}-${functionName}`;
}

export function lambdaArn(name: string): string {
  return `arn:aws:lambda:${process.env["AWS_REGION"] ?? defaultRegion}:${lambdaAccountId}:function:${name}`;
}

/**
 * The variables that AWS documents, for every runtime: set before the code is loaded. What the user has set goes over
 * `AWS_REGION` and `TZ`.
 */
export function lambdaEnvironment(surroundings: LambdaSurroundings): Record<string, string> {
  const { app, functionName, deployment, handler, root, memoryMiB, executionEnvironment } = surroundings;
  const name = lambdaName(app, functionName);
  const day = new Date().toISOString().slice(0, 10).replaceAll("-", "/");
  return {
    AWS_LAMBDA_FUNCTION_NAME: name,
    AWS_LAMBDA_FUNCTION_VERSION: lambdaVersion,
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE: String(memoryMiB),
    AWS_LAMBDA_LOG_GROUP_NAME: `/aws/lambda/${name}`,
    AWS_LAMBDA_LOG_STREAM_NAME: `${day}/[${lambdaVersion}]${deployment.slice(0, 32)}`,
    AWS_LAMBDA_INITIALIZATION_TYPE: "on-demand",
    ...(executionEnvironment !== "" && { AWS_EXECUTION_ENV: executionEnvironment }),
    AWS_REGION: defaultRegion,
    AWS_DEFAULT_REGION: defaultRegion,
    LAMBDA_TASK_ROOT: root,
    LAMBDA_RUNTIME_DIR: "/var/runtime",
    TZ: ":UTC",
    _HANDLER: handler,
  };
}

/** AWS's clients want a region even where it means nothing. */
const defaultRegion = "us-east-1";

/** How the program of an image is started: by what its deployment found in it, and the app's variables on top. */
import { randomBytes } from "node:crypto";
import type { GroupSpec, ImageSpec, LiveDeployment, Program } from "../contract/deployment.ts";
import { AloftError } from "../contract/errors.ts";
import type { ImageProgramSpec } from "../contract/sandbox.ts";
import type { AssignImage } from "../wire/messages.ts";

export function imageProgramSpec(
  live: LiveDeployment,
  spec: GroupSpec,
  meeting: AssignImage,
  instanceId: string,
): ImageProgramSpec {
  const { app, deploymentId, manifest, variables, imageRoot } = live;
  const { image } = manifest;
  if (image === undefined || imageRoot === undefined) throw new Error(`deployment ${deploymentId} is no image`);
  const command = spec.program?.command ?? [];
  return {
    id: `${instanceId}-image`,
    argv: command.length > 0 ? command : image.argv,
    env: {
      ...image.env,
      ...variables,
      ...(isLambda(spec.program) ? lambdaEnvironment(live, spec) : { PORT: String(image.port) }),
      ALOFT_APP: app,
      ALOFT_DEPLOYMENT: deploymentId,
      ALOFT_STATE_URL: `http://127.0.0.1:${meeting.statePort}/${meeting.stateToken}`,
    },
    memoryMiB: spec.limits.memoryMiB,
    sharesNetworkOf: instanceId,
    // The last that the companion opens: what the program finds in its environment is there when it starts.
    waitsForPort: isLambda(spec.program) ? meeting.port : meeting.statePort,
    root: imageRoot,
    rootBytes: image.bytes,
    rootFiles: image.files,
    workingDir: image.workingDir,
    uid: image.uid,
    gid: image.gid,
    groups: image.groups,
    owners: image.owners,
  };
}

/** For one instance. */
export function meetingOf(program: Program | undefined, image: ImageSpec): AssignImage {
  const port = isLambda(program) ? lambdaApiPort : image.port;
  const statePort = port === firstStatePort ? firstStatePort + 1 : firstStatePort;
  return { port, statePort, stateToken: randomBytes(16).toString("hex") };
}

function isLambda(program: Program | undefined): boolean {
  return program?.runtime === "provided";
}

/** As in AWS's own emulator. */
const lambdaApiPort = 9001;
const firstStatePort = 9002;
/** AWS's clients want a region even where it means nothing. */
const lambdaRegion = "us-east-1";

function lambdaEnvironment(
  { app, manifest }: LiveDeployment,
  { name, limits, program }: GroupSpec,
): Record<string, string> {
  const functionName = manifest.functions.find(({ group }) => group === name)?.name ?? "default";
  return {
    AWS_LAMBDA_RUNTIME_API: `127.0.0.1:${lambdaApiPort}`,
    AWS_LAMBDA_FUNCTION_NAME: `${app}-${functionName}`,
    AWS_LAMBDA_FUNCTION_VERSION: "$LATEST",
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE: String(limits.memoryMiB),
    AWS_LAMBDA_INITIALIZATION_TYPE: "on-demand",
    AWS_REGION: lambdaRegion,
    AWS_DEFAULT_REGION: lambdaRegion,
    LAMBDA_TASK_ROOT: "/var/task",
    LAMBDA_RUNTIME_DIR: "/var/runtime",
    TZ: ":UTC",
    ...(program === undefined || program.handler === "" ? {} : { _HANDLER: program.handler }),
  };
}

export function imagesUnavailable(kind: string): AloftError {
  return new AloftError("SANDBOX_UNAVAILABLE", `images cannot run in the ${kind} sandbox`, {
    hint: "start the server with --sandbox oci, which needs root and runc; docs/sandbox.md says what else",
  });
}

/** How the program of an image is started: by what its deployment found in it, and the app's variables on top. */
import type { GroupSpec, LiveDeployment } from "../contract/deployment.ts";
import { AloftError } from "../contract/errors.ts";
import type { ImageProgramSpec } from "../contract/sandbox.ts";

export function imageProgramSpec(live: LiveDeployment, spec: GroupSpec, instanceId: string): ImageProgramSpec {
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
      PORT: String(image.port),
      ALOFT_APP: app,
      ALOFT_DEPLOYMENT: deploymentId,
    },
    memoryMiB: spec.limits.memoryMiB,
    sharesNetworkOf: instanceId,
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

export function imagesUnavailable(kind: string): AloftError {
  return new AloftError("SANDBOX_UNAVAILABLE", `images cannot run in the ${kind} sandbox`, {
    hint: "start the server with --sandbox oci, which needs root and runc; docs/sandbox.md says what else",
  });
}

/**
 * A deployment: an immutable, content-addressed build of an app. Its id is the hash of its files, its `aloft.json` and
 * the runtime version, so that the same content is the same deployment.
 */

/** The runtime an app's code needs. Others (python, provided, command) come with their own issues. */
export type Runtime = "node";

export interface DeploymentFile {
  /** Relative to the deployment's root, `/` between parts, never absolute, never with `.` or `..`. */
  readonly path: string;
  /** sha256 of the content, 64 hexadecimal digits. */
  readonly hash: string;
  readonly bytes: number;
  /** Set for files that were executable. */
  readonly executable?: boolean;
}

/** How the handler is called; found by describing. */
export type HandlerStyle =
  | "http" // sdk http(route, handler): (Request, ctx) => Response
  | "fn" // sdk fn(handler): (input, ctx) => output
  | "fetch" // export default { fetch } or an app with .fetch: (Request, env, ctx) => Response
  | "lambda" // export const handler: (event, context[, callback]) => result
  | "ff-http" // Functions Framework: (req, res)
  | "ff-event" // Functions Framework: (data, context)
  | "ff-cloudevent"; // Functions Framework: (cloudEvent)

export type Trigger =
  /** `method` is upper case or `*`; `path` is a find-my-way pattern such as `/links/:id` or `/files/*`. */
  { readonly kind: "http"; readonly method: string; readonly path: string };

/** What the app's code says about one of its exports; written by the guest, parsed as unknown input by the node. */
export interface DescribedFunction {
  readonly name: string;
  readonly style: HandlerStyle;
  readonly triggers: readonly Trigger[];
  readonly limits: Partial<FunctionLimits>;
}

export interface FunctionLimits {
  readonly memoryMiB: number;
  readonly timeoutMs: number;
  readonly concurrency: number;
  readonly minInstances: number;
  readonly maxInstances: number;
  readonly keepAliveMs: number;
}

export interface FunctionSpec {
  readonly name: string;
  readonly style: HandlerStyle;
  readonly triggers: readonly Trigger[];
  readonly limits: FunctionLimits;
  /** Name of the group whose instances serve it: `http`, `events` or the function's own name. */
  readonly group: string;
}

/** The functions of a deployment that share instances. Limits are those of its functions (equal within a group). */
export interface GroupSpec {
  readonly name: string;
  readonly limits: FunctionLimits;
}

export interface Manifest {
  /** Version of this shape. */
  readonly format: 1;
  readonly runtime: Runtime;
  /** Path of the file that is imported; one of `files`. */
  readonly entry: string;
  readonly files: readonly DeploymentFile[];
  /** Index in this list is the function's number on the wire. */
  readonly functions: readonly FunctionSpec[];
  readonly groups: readonly GroupSpec[];
  /** Host names the app claims (`aloft.json` `domains`). */
  readonly domains: readonly string[];
  /** Names of variables that must be set before the deployment can go live. */
  readonly requiredVariables: readonly string[];
}

/** A deployment as the running side sees it: everything needed to start an instance of it. */
export interface LiveDeployment {
  readonly app: string;
  readonly alias: string;
  /** 40 hexadecimal digits. */
  readonly deploymentId: string;
  /** Folder on this machine that holds exactly the manifest's files; read-only to everyone. */
  readonly root: string;
  readonly manifest: Manifest;
  readonly variables: Readonly<Record<string, string>>;
  /** Changes when deployment or variables change: instances are of one revision. */
  readonly revision: string;
}

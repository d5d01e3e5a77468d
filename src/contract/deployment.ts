/**
 * A deployment: an immutable, content-addressed build of an app. Its id is the hash of its files, its `aloft.json` and
 * the runtime version, so that the same content is the same deployment.
 */
import type { NetworkPolicy } from "./network.ts";

/** What runs a function's code. */
export type Runtime =
  | "node" // exports of a module that the command line has bundled, called by Aloft's own runtime
  | "nodejs" // a Lambda handler called by AWS's runtime interface client, which is a package of the function
  | "python" // a Lambda handler, an ASGI or a WSGI app, called by Aloft's own runtime
  | "provided" // an executable `bootstrap` that speaks the Lambda Runtime API
  | "command" // any program that answers HTTP on a port
  | "image"; // an OCI image

/** How a function that is no export of the app's Node code is run; said by `aloft.json`, or plain from the folder. */
export interface Program {
  readonly runtime: Exclude<Runtime, "node">;
  /** `module.function`; "" where the runtime needs none, or finds one by its usual names. */
  readonly handler: string;
  /** Program and arguments of a `command`; empty for others. */
  readonly command: readonly string[];
  /** Path that answers with a status below 400 once a `command` is ready; null: it is ready when it takes connections. */
  readonly ready: string | null;
}

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
  | "event" // sdk queue, stream, cron, blob: (the trigger's own payload, ctx) => value
  | "fetch" // export default { fetch } or an app with .fetch: (Request, env, ctx) => Response
  | "lambda" // export const handler: (event, context[, callback]) => result
  | "ff-http" // Functions Framework: (req, res)
  | "ff-event" // Functions Framework: (data, context)
  | "ff-cloudevent" // Functions Framework: (cloudEvent)
  | "asgi" // Python: async app(scope, receive, send)
  | "wsgi" // Python: app(environ, start_response)
  | "server"; // a program that answers HTTP by itself

/** `method` is upper case or `*`; `path` is a find-my-way pattern such as `/links/:id` or `/files/*`. */
export interface HttpTrigger {
  readonly kind: "http";
  readonly method: string;
  readonly path: string;
}

/** What delivers events to a function, and how. */
export interface EventTrigger {
  readonly kind: "queue" | "stream" | "cron" | "blob";
  /** Of the queue, the stream or the blob store; the schedule of a cron. */
  readonly name: string;
  /** The trigger's own, as `contract/trigger-options.ts` has checked them. */
  readonly options: Readonly<Record<string, unknown>>;
}

export type Trigger = HttpTrigger | EventTrigger;

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
  /** Absent: an export of the app's Node code. */
  readonly program?: Program;
}

/** The functions of a deployment that share instances. Limits are those of its functions (equal within a group). */
export interface GroupSpec {
  readonly name: string;
  readonly limits: FunctionLimits;
  /** That of its only function; absent where Node serves its functions. */
  readonly program?: Program;
}

/** How a deployment that is an OCI image is started; found when it is deployed. */
export interface ImageSpec {
  /** Names the files of all layers together, on this server. */
  readonly root: string;
  readonly argv: readonly string[];
  /** The image's own; variables of the app come on top. */
  readonly env: Readonly<Record<string, string>>;
  /** Absolute. */
  readonly workingDir: string;
  readonly uid: number;
  readonly gid: number;
  /** Further groups. */
  readonly groups: readonly number[];
  /** Users and groups that its files belong to and its program may be, at most `limits.imageOwners`: all others are nobody. */
  readonly owners: readonly number[];
  /** Where it is expected to listen. */
  readonly port: number;
  /** Of all files, and how many there are. */
  readonly bytes: number;
  readonly files: number;
}

export interface Manifest {
  /** Version of this shape. */
  readonly format: 1;
  /** Of the functions that say nothing else. */
  readonly runtime: Runtime;
  /** Path of the Node module that is imported, one of `files`; "" when there is none. */
  readonly entry: string;
  readonly files: readonly DeploymentFile[];
  /** Index in this list is the function's number on the wire. */
  readonly functions: readonly FunctionSpec[];
  readonly groups: readonly GroupSpec[];
  /** Host names the app claims (`aloft.json` `domains`). */
  readonly domains: readonly string[];
  /** What its functions may reach (`aloft.json` `network`). */
  readonly network: NetworkPolicy;
  /** Names of variables that must be set before the deployment can go live. */
  readonly requiredVariables: readonly string[];
  /** Of a deployment whose runtime is `image`. */
  readonly image?: ImageSpec;
}

/** A deployment as the running side sees it: everything needed to start an instance of it. */
export interface LiveDeployment {
  readonly app: string;
  readonly alias: string;
  /** 40 hexadecimal digits. */
  readonly deploymentId: string;
  /** Folder on this machine that holds exactly the manifest's files; read-only to everyone. */
  readonly root: string;
  /** Of an image: folder on this machine that holds its files. */
  readonly imageRoot?: string;
  readonly manifest: Manifest;
  readonly variables: Readonly<Record<string, string>>;
  /** Changes when deployment or variables change: instances are of one revision. */
  readonly revision: string;
}

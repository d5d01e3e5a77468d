/**
 * The control API's JSON, as the server sends it and the command line reads it. Every path begins with `/v1`, wants
 * `authorization: Bearer TOKEN`, answers errors as problem documents (`errors.ts`) and is listed in `docs/api.md`.
 *
 *   GET    /v1/status                                  -> StatusJson
 *   GET    /v1/apps                                    -> { apps: AppJson[] }
 *   GET    /v1/apps/APP                                -> AppJson
 *   DELETE /v1/apps/APP                                -> { deleted: true }
 *   GET    /v1/apps/APP/functions?alias=               -> { functions: FunctionJson[] }
 *   GET    /v1/apps/APP/deployments                    -> { deployments: DeploymentJson[] }
 *   POST   /v1/apps/APP/deploys        BeginDeployJson -> DeployBegunJson
 *   PUT    /v1/apps/APP/deploys/N/files/HASH  (bytes)  -> { stored: true }
 *   POST   /v1/apps/APP/deploys/N/finish               -> DeployedJson
 *   POST   /v1/apps/APP/rollback       RollbackJson    -> DeployedJson
 *   GET    /v1/apps/APP/variables?alias=               -> { variables: VariableJson[] }   (names, never values)
 *   PATCH  /v1/apps/APP/variables?alias=  { set: {NAME: VALUE}, unset: [NAME] } -> { variables: VariableJson[] }
 *   GET    /v1/apps/APP/kv?alias=                      -> { stores: [NAME] }              (the same below /blobs)
 *   GET    /v1/apps/APP/kv/STORE?prefix=&start=&end=&limit=&reverse=  -> { entries: [{ key, value, version }], next }
 *   GET    /v1/apps/APP/kv/STORE/entry?key=            -> { key, value, version, expiresAtMs? }
 *   PUT    /v1/apps/APP/kv/STORE/entry?key=  { value: { json } | { b64 }, expiresInMs, ifAbsent, ifVersion } -> { done }
 *   DELETE /v1/apps/APP/kv/STORE/entry?key=&ifVersion= -> { done }
 *   GET    /v1/apps/APP/blobs/STORE/content?key=       -> (its bytes)
 *   PUT    /v1/apps/APP/blobs/STORE/content?key=&contentType=  (bytes) -> { done }
 *   POST   /v1/apps/APP/blobs/STORE/links      { key, method?, expiresInMs?, ... } -> { url, method, expiresAtMs }
 *   POST   /v1/apps/APP/functions/FUNCTION/invoke?alias=  (payload) -> (answer's bytes; headers aloft-*)
 *   GET    /v1/apps/APP/logs?function=&invocation=&level=&since=&until=&limit=&follow=  -> LogLine a line (ndjson)
 *   GET    /v1/apps/APP/invocations?function=&outcome=&since=&until=&limit=&follow=     -> { invocations } | ndjson
 *   GET    /v1/invocations/ID                          -> InvocationRecord
 *
 * `invoke` answers 200 with the function's own bytes and the headers `aloft-invocation`, `aloft-cold` (true|false),
 * `aloft-wait-us`, `aloft-handler-us`, `aloft-status` (the function's HTTP status); a failed function is a problem document.
 */
import type { FunctionLimits, HandlerStyle, Runtime, Trigger } from "./deployment.ts";
import type { GroupStatus } from "./invoking.ts";
import type { ObserveStats } from "./observing.ts";

export interface AliasJson {
  readonly name: string;
  readonly deployment: string;
  /** Number of the deploy or rollback that moved it here. */
  readonly number: number;
  readonly movedAt: string;
}

export interface AppJson {
  readonly name: string;
  readonly createdAt: string;
  readonly aliases: readonly AliasJson[];
  readonly domains: readonly string[];
  readonly functions: number;
  /** Where it answers, first the plainest. */
  readonly urls: readonly string[];
}

export interface FunctionJson {
  readonly name: string;
  readonly style: HandlerStyle;
  readonly runtime: Runtime;
  readonly group: string;
  readonly triggers: readonly Trigger[];
  readonly limits: FunctionLimits;
  readonly urls: readonly string[];
}

export interface DeploymentJson {
  readonly id: string;
  readonly createdAt: string;
  readonly files: number;
  readonly bytes: number;
  readonly functions: number;
  /** Names of the aliases that point at it. */
  readonly aliases: readonly string[];
}

export interface BeginDeployJson {
  readonly alias: string;
  /** Of the functions about which `aloft.json` says nothing else. */
  readonly runtime: Runtime;
  /** The Node module to import; "" when there is none. */
  readonly entry: string;
  readonly files: readonly { path: string; hash: string; bytes: number; executable?: boolean }[];
  /** The text of `aloft.json`, "" when there is none. The server parses it again and trusts nothing else about it. */
  readonly config: string;
}

export interface DeployBegunJson {
  /** The deploy's number: it decides which of two deploys is the later one. */
  readonly number: number;
  /** Hashes this app does not hold yet. */
  readonly missing: readonly string[];
}

export interface DeployedJson {
  readonly app: string;
  readonly alias: string;
  readonly deployment: string;
  readonly number: number;
  /** false: the same content was there already, so nothing was stored or moved. */
  readonly changed: boolean;
  readonly functions: readonly FunctionJson[];
  readonly urls: readonly string[];
}

export interface RollbackJson {
  readonly alias: string;
  /** Id or unique beginning of one; absent: the deployment the alias named before. */
  readonly deployment?: string;
}

export interface VariableJson {
  readonly name: string;
  readonly updatedAt: string;
}

export interface StatusJson {
  readonly version: string;
  readonly node: string;
  /** The machine's kind, as Node names it: "x64", "arm64". */
  readonly architecture: string;
  readonly startedAt: string;
  readonly sandbox: "process" | "oci";
  readonly http: string;
  readonly admin: string;
  readonly baseDomain: string;
  readonly defaultApp: string | null;
  readonly apps: number;
  readonly groups: readonly GroupStatus[];
  readonly zygotes: number;
  readonly memoryBytes: number;
  readonly memoryBudgetBytes: number;
  readonly rssBytes: number;
  readonly observe: ObserveStats;
}

/**
 * The port of `apps/` towards the control API: everything a developer does to apps. Answers are the API's JSON as it is
 * (`api.ts`); what it takes as `unknown` it parses itself and refuses with REQUEST_INVALID and the place.
 */
import type {
  AppJson,
  DeployBegunJson,
  DeployedJson,
  DeploymentJson,
  FunctionJson,
  RollbackJson,
  VariableJson,
} from "./api.ts";

export interface Managing {
  hasApp(app: string): boolean;
  listApps(): readonly AppJson[];
  /** Throws APP_NOT_FOUND with the names that resemble it, as all of these do. */
  getApp(app: string): AppJson;
  /** Its aliases, variables, domains and deployments go with it. Durable when it resolves. */
  removeApp(app: string): Promise<void>;
  listFunctions(app: string, alias: string): readonly FunctionJson[];
  listDeployments(app: string): readonly DeploymentJson[];

  /** Takes a BeginDeployJson. The deploy has its number, durably; the app need not exist yet. */
  beginDeploy(app: string, body: unknown): Promise<DeployBegunJson>;
  /** Takes one file of an open deploy, no faster than the disk; verifies its size and hash. */
  receiveFile(app: string, number: number, hash: string, chunks: AsyncIterable<Uint8Array>): Promise<void>;
  /** Describes, prepares and goes live. Whatever it throws, what was live before still is. */
  finishDeploy(app: string, number: number): Promise<DeployedJson>;
  rollback(app: string, request: RollbackJson): Promise<DeployedJson>;

  /** Names, never values. */
  listVariables(app: string, alias: string): readonly VariableJson[];
  /**
   * Durable when it resolves; then instances with the former values take no new requests. When the code cannot be
   * imported with the new values, they are kept for the next deploy, the former instances and values go on serving, and
   * the user's error is thrown saying so.
   */
  changeVariables(app: string, alias: string, change: VariableChange): Promise<readonly VariableJson[]>;
}

export interface VariableChange {
  readonly set: Readonly<Record<string, string>>;
  readonly unset: readonly string[];
}

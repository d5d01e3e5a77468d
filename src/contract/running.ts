/**
 * The port between `apps/` (what should run) and the side that runs it (`pool/` and `dispatch/`, joined in `server.ts`).
 */
import type { DescribedFunction, LiveDeployment, Runtime } from "./deployment.ts";
import type { PlannedProgram } from "./programs.ts";

export interface DescribeRequest {
  readonly app: string;
  readonly root: string;
  /** The Node module to import; "" when Python's functions are asked for. */
  readonly entry: string;
  /** Python's functions, to be found by their handlers; absent when a Node module is imported. */
  readonly programs?: readonly PlannedProgram[];
  /** Bound to placeholder strings while the code is imported. */
  readonly variableNames: readonly string[];
}

export interface Running {
  /** Throws SANDBOX_UNAVAILABLE where functions of this runtime cannot run at all: asked before anything is sent. */
  assertRunnable(runtime: Runtime): void;

  /**
   * Imports the code once in a fresh sandbox and reads its exports. Throws DESCRIBE_FAILED (fault: app) with the user's
   * own error, its file and its line. What comes back has been parsed: names, styles and limits are within bounds.
   */
  describe(request: DescribeRequest): Promise<readonly DescribedFunction[]>;

  /**
   * Imports the code with its real variables in an instance that will serve it. Throws FUNCTION_START_FAILED with the
   * user's error; nothing of a deployment that failed here is ever reached by a request.
   */
  prepare(live: LiveDeployment): Promise<void>;

  /** Forgets a prepared deployment that is not going live after all. */
  abandon(live: LiveDeployment): void;

  /**
   * From now on requests for (app, alias) go to this deployment, or to none. Synchronous: there is no moment without a
   * route. The former deployment's instances finish what they have and end.
   */
  publish(app: string, alias: string, live: LiveDeployment | null): void;

  /** Revisions with instances that have not ended yet: their files must stay. */
  runningRevisions(): ReadonlySet<string>;
}

/**
 * What `dispatch/` asks of `apps/`: the live deployment of (app, alias), loaded when it is first needed so that ten
 * thousand sleeping apps cost nothing. Synchronous, answers from memory or from one small local file. null: no such alias.
 */
export interface LiveSource {
  findLive(app: string, alias: string): LiveDeployment | null;
  /** The app that holds this domain as its own, lower case, without port. */
  findDomain(host: string): string | null;
  /** The app that a bare host goes to. */
  defaultApp(): string | null;
  hasApp(app: string): boolean;
  appNames(): readonly string[];
}

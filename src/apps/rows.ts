/**
 * The rows of the meta store: their keys and what stands in them, as JSON. Names hold no `/`, so the parts of a key do
 * not run into each other.
 *
 *   app/APP                   AppRow
 *   number/APP                the last number given to a deploy or rollback of the app
 *   alias/APP/ALIAS           AliasRow
 *   deployment/APP/ID         DeploymentRow; the manifest itself is a content, like the files
 *   holder/HASH/APP           "": a deployment of the app holds this content
 *   variables/APP/ALIAS       VariablesRow as the developer set them
 *   variables-live/APP/ALIAS  VariablesRow as what is live uses them, while that is not the row above
 *   domain/HOST               the app that holds it
 *   default-app               name of the app that a bare host goes to
 */
export interface AppRow {
  readonly createdAtMs: number;
  /** Claimed by the deployment that `production` names. */
  readonly domains: readonly string[];
}

export interface AliasMove {
  readonly deployment: string;
  readonly number: number;
  readonly movedAtMs: number;
}

export interface AliasRow extends AliasMove {
  /** Highest number that was settled here, moves that changed nothing included: lower ones come too late. */
  readonly settled: number;
  /** Where it pointed before, newest first. */
  readonly history: readonly AliasMove[];
}

export interface DeploymentRow {
  readonly createdAtMs: number;
  /** Of the last deploy with this content. */
  readonly number: number;
  readonly manifestHash: string;
  readonly files: number;
  readonly bytes: number;
  readonly functions: number;
  /** Set when a group of it has `minInstances`, so that a start finds these without reading every manifest. */
  readonly keepsInstances?: true;
}

export interface VariablesRow {
  /** Changes with every change of a value. */
  readonly revision: string;
  readonly variables: Readonly<Record<string, { readonly value: string; readonly updatedAtMs: number }>>;
}

export const noVariables: VariablesRow = { revision: "0", variables: {} };

export const keys = {
  apps: "app/",
  app: (app: string) => `app/${app}`,
  number: (app: string) => `number/${app}`,
  aliases: (app: string) => `alias/${app}/`,
  alias: (app: string, alias: string) => `alias/${app}/${alias}`,
  allAliases: "alias/",
  deployments: (app: string) => `deployment/${app}/`,
  deployment: (app: string, id: string) => `deployment/${app}/${id}`,
  holders: (hash: string) => `holder/${hash}/`,
  holder: (hash: string, app: string) => `holder/${hash}/${app}`,
  variablesOf: (app: string) => `variables/${app}/`,
  variables: (app: string, alias: string) => `variables/${app}/${alias}`,
  variablesLiveOf: (app: string) => `variables-live/${app}/`,
  variablesLive: (app: string, alias: string) => `variables-live/${app}/${alias}`,
  domain: (host: string) => `domain/${host}`,
  defaultApp: "default-app",
} as const;

/** The part of a key after its prefix. */
export function lastPart(key: string): string {
  return key.slice(key.lastIndexOf("/") + 1);
}

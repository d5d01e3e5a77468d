import type { AppConfig } from "./app-config.ts";

/** The configuration of an app without `aloft.json`. In a file of its own: most apps need neither parser nor schema. */
export const emptyAppConfig: AppConfig = {
  name: null,
  entry: null,
  runtime: null,
  program: null,
  domains: [],
  network: "internet",
  requiredVariables: [],
  external: [],
  files: [],
  layers: [],
  defaults: {},
  functions: new Map(),
};

/**
 * Variables of (app, alias): kept outside deployments, given to instances before the code is imported.
 *
 * A change is stored first (durable), then the live deployment is prepared with the new values, then it is published and
 * the former instances finish what they have. When the code cannot be imported with the new values, they stay stored for
 * the next deploy, while what is live goes on with the former values, over restarts too: refusing the change instead
 * would lock out whoever must set a variable for code that is yet to come while the code of today is broken.
 */
import type { VariableJson } from "../contract/api.ts";
import { AloftError, asAloftError } from "../contract/errors.ts";
import { limits } from "../contract/limits.ts";
import type { VariableChange } from "../contract/managing.ts";
import { assertAliasName, assertAppName, isReservedVariable, isVariableName } from "../contract/names.ts";
import { assertRequiredVariables } from "./alias-moves.ts";
import type { Parts } from "./parts.ts";
import { keys, type AppRow, type VariablesRow } from "./rows.ts";

export class Variables {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  list(app: string, alias: string): readonly VariableJson[] {
    this.#parts.catalog.getApp(app);
    assertAliasName(alias);
    return variablesJson(this.#parts.catalog.variables(app, alias));
  }

  /** Makes the app when there is none, so that what the first deploy requires can be set before it. */
  async change(app: string, alias: string, change: VariableChange): Promise<readonly VariableJson[]> {
    assertAppName(app);
    assertAliasName(alias);
    assertChange(change);
    if (Object.keys(change.set).length === 0) this.#parts.catalog.getApp(app);
    return await this.#parts.lock.run(app, () => this.#changeLocked(app, alias, change));
  }

  async #changeLocked(app: string, alias: string, change: VariableChange): Promise<readonly VariableJson[]> {
    const { catalog, meta, clock, newId } = this.#parts;
    const before = catalog.variables(app, alias);
    const diverged = catalog.findVariablesLive(app, alias) !== null;
    const variables = changed(before, change, clock.nowMs());
    const same = sameValues(before, variables);
    if (same && !diverged) return variablesJson(before);
    assertSizes(variables);
    const after: VariablesRow = same ? before : { revision: newId(), variables };

    const aliasRow = catalog.findAlias(app, alias);
    const live =
      aliasRow === null ? null : { id: aliasRow.deployment, manifest: this.#manifestOf(app, aliasRow.deployment) };
    if (live !== null) assertRequiredVariables(app, alias, live.manifest, after);
    const appRow: AppRow = catalog.findApp(app) ?? { createdAtMs: clock.nowMs(), domains: [] };
    await meta.commit({
      checks: [],
      writes: [
        { key: keys.app(app), value: JSON.stringify(appRow) },
        { key: keys.variables(app, alias), value: JSON.stringify(after) },
        ...(live === null || diverged ? [] : [{ key: keys.variablesLive(app, alias), value: JSON.stringify(before) }]),
      ],
    });
    catalog.forgetAppNames();
    if (live !== null) await this.#roll(app, alias, live, after);
    return variablesJson(after);
  }

  /** Replaces the instances of what is live by ones with these variables; no request is without an instance meanwhile. */
  async #roll(app: string, alias: string, live: LiveContent, row: VariablesRow): Promise<void> {
    const { catalog, meta, running, publish } = this.#parts;
    const next = catalog.composeLive(app, alias, live.id, live.manifest, row);
    try {
      await running.prepare(next);
      await meta.commit({ checks: [], writes: [{ key: keys.variablesLive(app, alias), value: null }] });
    } catch (error) {
      running.abandon(next);
      throw notRolled(error);
    }
    publish(app, alias, next);
  }

  #manifestOf(app: string, id: string): LiveContent["manifest"] {
    const row = this.#parts.catalog.findDeployment(app, id);
    if (row === null) throw new Error(`the alias names the deployment ${id}, which has no row`);
    return this.#parts.catalog.manifestOf(row);
  }
}

interface LiveContent {
  readonly id: string;
  readonly manifest: Parameters<Parts["catalog"]["composeLive"]>[3];
}

function changed(before: VariablesRow, { set, unset }: VariableChange, nowMs: number): VariablesRow["variables"] {
  const after = new Map(Object.entries(before.variables));
  for (const name of unset) after.delete(name);
  for (const [name, value] of Object.entries(set)) {
    if (after.get(name)?.value !== value) after.set(name, { value, updatedAtMs: nowMs });
  }
  return Object.fromEntries([...after].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function sameValues(before: VariablesRow, after: VariablesRow["variables"]): boolean {
  const names = Object.keys(after);
  return (
    names.length === Object.keys(before.variables).length &&
    names.every((name) => before.variables[name]?.value === after[name]?.value)
  );
}

function assertChange({ set, unset }: VariableChange): void {
  for (const name of [...Object.keys(set), ...unset]) {
    if (isReservedVariable(name)) {
      throw new AloftError("VARIABLE_RESERVED", `the name ${name} is reserved for the platform`, {
        hint: "names that begin with ALOFT_, AWS_LAMBDA_ or LD_ cannot be set",
      });
    }
    if (!isVariableName(name)) {
      throw new AloftError("NAME_INVALID", `"${name.slice(0, 300)}" is not a name for a variable`, {
        hint: "use letters, digits and _, not beginning with a digit, at most 256 characters",
      });
    }
  }
  const both = unset.find((name) => Object.hasOwn(set, name));
  if (both !== undefined) throw new AloftError("REQUEST_INVALID", `${both} cannot be set and unset at once`);
  for (const [name, value] of Object.entries(set)) {
    if (value.includes("\0")) throw new AloftError("REQUEST_INVALID", `the value of ${name} holds a zero byte`);
    const bytes = Buffer.byteLength(value);
    if (bytes > limits.variableBytes)
      throw tooLarge(`the value of ${name} has ${bytes} bytes, allowed are ${limits.variableBytes}`);
  }
}

function assertSizes(variables: VariablesRow["variables"]): void {
  const entries = Object.entries(variables);
  if (entries.length > limits.variables)
    throw tooLarge(`${entries.length} variables are more than the ${limits.variables} allowed`);
  const bytes = entries.reduce((sum, [name, { value }]) => sum + name.length + Buffer.byteLength(value), 0);
  if (bytes > limits.variablesBytes) {
    throw tooLarge(`the variables have ${bytes} bytes together, allowed are ${limits.variablesBytes}`);
  }
}

function variablesJson(row: VariablesRow): readonly VariableJson[] {
  return Object.entries(row.variables).map(([name, { updatedAtMs }]) => ({
    name,
    updatedAt: new Date(updatedAtMs).toISOString(),
  }));
}

function tooLarge(message: string): AloftError {
  return new AloftError("REQUEST_INVALID", message, { hint: "keep large content in a file of the app" });
}

function notRolled(thrown: unknown): AloftError {
  const error = asAloftError(thrown);
  const message = `the variables are stored, but what is live still has the former ones: ${error.message}`;
  return new AloftError(error.code, message, {
    hint: "correct the variables, or deploy code that starts with them",
    cause: error.cause,
    detail: error.detail,
  });
}

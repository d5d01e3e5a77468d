/**
 * Going live: the only way by which an alias comes to name another deployment, for deploys and rollbacks alike.
 *
 *   prepare (many at once) -> [lock of the app] -> commit -> publish
 *
 * Every move has a number, taken when its deploy began. An alias takes a move only when no higher number was settled on
 * it, so of two deploys the one that began later wins, whichever is prepared sooner. The commit compares what it read
 * and is durable before anything is published, so a crash leaves the old or the new deployment and never a mixture.
 */
import type { LiveDeployment, Manifest } from "../contract/deployment.ts";
import { AloftError } from "../contract/errors.ts";
import { limits } from "../contract/limits.ts";
import { productionAlias } from "../contract/names.ts";
import { placeDeployment } from "./deployment-place.ts";
import { CommitConflict, type MetaCell } from "./meta/meta-store.ts";
import type { Parts } from "./parts.ts";
import { keys, type AliasRow, type AppRow, type DeploymentRow, type VariablesRow } from "./rows.ts";

export interface Move {
  readonly app: string;
  readonly alias: string;
  readonly number: number;
  readonly id: string;
  readonly manifest: Manifest;
  /** The row to store with the move; null: the deployment is there already (a rollback). */
  readonly store: DeploymentRow | null;
  /** Throws when the move is no longer wanted, because its app was removed in the meantime. */
  readonly assertWanted: () => void;
}

/** Other apps may commit to a key that this move reads (a domain, the default app); more often than this is a bug. */
const triesMax = 20;

export class AliasMoves {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Whatever it throws, the alias is where it was; with DEPLOY_SUPERSEDED the deployment is stored nevertheless. */
  async goLive(move: Move): Promise<void> {
    const { catalog, lock, publish } = this.#parts;
    const { app, alias } = move;
    if (this.#isSuperseded(move)) return await lock.run(app, () => this.#commit(move));
    let variables = catalog.variables(app, alias);
    this.#assertCanGoLive(move, variables);
    let live = await this.#prepare(move, variables);
    try {
      await lock.run(app, async () => {
        const current = catalog.variables(app, alias);
        if (current.revision !== variables.revision && !this.#isSuperseded(move)) {
          // They were changed while the code was being imported. Nobody else can change them now.
          this.#assertCanGoLive(move, current);
          const fresh = await this.#prepare(move, current);
          this.#abandon(live);
          [live, variables] = [fresh, current];
        }
        await this.#commit(move);
        publish(app, alias, live);
      });
    } catch (error) {
      this.#abandon(live);
      throw error;
    }
  }

  /** Settles a deploy whose content is live already: nothing moves, but an earlier deploy now comes too late. */
  settleUnchanged(app: string, alias: string, number: number): Promise<void> {
    return this.#parts.lock.run(app, async () => {
      const row = this.#parts.catalog.findAlias(app, alias);
      if (row === null || row.settled >= number) return;
      const key = keys.alias(app, alias);
      const settled: AliasRow = { ...row, settled: number };
      await this.#parts.meta.commit({
        checks: [{ key, value: this.#parts.meta.get(key) }],
        writes: [{ key, value: JSON.stringify(settled) }],
      });
    });
  }

  async #prepare(move: Move, variables: VariablesRow): Promise<LiveDeployment> {
    const { catalog, running } = this.#parts;
    await placeDeployment(this.#parts, move.app, move.id, move.manifest);
    const live = catalog.composeLive(move.app, move.alias, move.id, move.manifest, variables);
    try {
      await running.prepare(live);
    } catch (error) {
      this.#abandon(live);
      throw error;
    }
    return live;
  }

  /** Not when it is the same revision that serves now: that one is needed. */
  #abandon(live: LiveDeployment): void {
    const row = this.#parts.catalog.findAlias(live.app, live.alias);
    const variables = this.#parts.catalog.variablesInUse(live.app, live.alias);
    const serving =
      row !== null && row.deployment === live.deploymentId && live.revision.endsWith(`/${variables.revision}`);
    if (!serving) this.#parts.running.abandon(live);
  }

  #isSuperseded(move: Move): boolean {
    return (this.#parts.catalog.findAlias(move.app, move.alias)?.settled ?? 0) > move.number;
  }

  #assertCanGoLive(move: Move, variables: VariablesRow): void {
    assertRequiredVariables(move.app, move.alias, move.manifest, variables);
    for (const host of this.#domainsOf(move)) {
      const owner = this.#parts.meta.get(keys.domain(host));
      if (owner !== null && owner !== move.app) throw domainTaken(host);
    }
  }

  /** Domains reach `production`, so only what is live there claims them. */
  #domainsOf(move: Move): readonly string[] {
    return move.alias === productionAlias ? move.manifest.domains : [];
  }

  /** In the lock of the app. */
  async #commit(move: Move): Promise<void> {
    for (let tries = 1; ; tries++) {
      move.assertWanted();
      const checks: MetaCell[] = [];
      const writes: MetaCell[] = [];
      const replace = (key: string, value: string | null): void => {
        checks.push({ key, value: this.#parts.meta.get(key) });
        writes.push({ key, value });
      };
      const superseded = this.#isSuperseded(move);
      if (move.store !== null) this.#storeDeployment(move, move.store, writes);
      if (superseded) this.#keepApp(move, replace);
      else this.#moveAlias(move, replace);
      try {
        await this.#parts.meta.commit({ checks, writes });
      } catch (error) {
        if (error instanceof CommitConflict && tries < triesMax) continue;
        throw error;
      }
      this.#parts.catalog.forgetAppNames();
      if (superseded) throw this.#supersededError(move);
      return;
    }
  }

  #storeDeployment(move: Move, row: DeploymentRow, writes: MetaCell[]): void {
    const former = this.#parts.catalog.findDeployment(move.app, move.id);
    const stored: DeploymentRow = {
      ...row,
      createdAtMs: former?.createdAtMs ?? row.createdAtMs,
      number: Math.max(row.number, former?.number ?? 0),
    };
    writes.push({ key: keys.deployment(move.app, move.id), value: JSON.stringify(stored) });
    const hashes = new Set([...move.manifest.files.map((file) => file.hash), row.manifestHash]);
    for (const hash of hashes) writes.push({ key: keys.holder(hash, move.app), value: "" });
  }

  #keepApp(move: Move, replace: (key: string, value: string) => void): void {
    const key = keys.app(move.app);
    const text = this.#parts.meta.get(key);
    replace(key, text ?? JSON.stringify({ createdAtMs: this.#parts.clock.nowMs(), domains: [] } satisfies AppRow));
  }

  #moveAlias(move: Move, replace: (key: string, value: string | null) => void): void {
    const { catalog, clock, meta } = this.#parts;
    const { app, alias, number, id } = move;
    const nowMs = clock.nowMs();
    const former = catalog.findAlias(app, alias);
    const moved: AliasRow = {
      deployment: id,
      number,
      movedAtMs: nowMs,
      settled: number,
      history: historyAfter(former, id),
    };
    replace(keys.alias(app, alias), JSON.stringify(moved));
    replace(keys.variablesLive(app, alias), null);

    const appRow = catalog.findApp(app) ?? { createdAtMs: nowMs, domains: [] };
    const domains = alias === productionAlias ? move.manifest.domains : appRow.domains;
    replace(keys.app(app), JSON.stringify({ ...appRow, domains } satisfies AppRow));
    for (const host of this.#domainsOf(move)) {
      const owner = meta.get(keys.domain(host));
      if (owner !== null && owner !== app) throw domainTaken(host);
      replace(keys.domain(host), app);
    }
    for (const host of appRow.domains) if (!domains.includes(host)) replace(keys.domain(host), null);
    if (alias === productionAlias && meta.get(keys.defaultApp) === null) replace(keys.defaultApp, app);
  }

  #supersededError(move: Move): AloftError {
    const settled = this.#parts.catalog.findAlias(move.app, move.alias)?.settled ?? 0;
    const message = `deploy ${move.number} of "${move.app}" did not go live: deploy ${settled} began later and is live on ${move.alias}`;
    return new AloftError("DEPLOY_SUPERSEDED", message, {
      hint: `to use it all the same: aloft rollback ${move.app} ${move.id.slice(0, 12)} --alias ${move.alias}`,
      detail: { deployment: move.id, number: move.number },
    });
  }
}

export function assertRequiredVariables(app: string, alias: string, manifest: Manifest, row: VariablesRow): void {
  const missing = manifest.requiredVariables.filter((name) => row.variables[name] === undefined);
  if (missing.length === 0) return;
  const one = missing[0] ?? "";
  throw new AloftError("VARIABLE_MISSING", `aloft.json requires variables that are not set: ${missing.join(", ")}`, {
    hint: `set it with: aloft env set ${app} ${one}${alias === productionAlias ? "" : ` --alias ${alias}`}`,
    detail: { variables: missing },
  });
}

/** Newest first, each deployment once, as many as are kept. */
function historyAfter(former: AliasRow | null, id: string): AliasRow["history"] {
  if (former === null) return [];
  const { deployment, number, movedAtMs, history } = former;
  if (deployment === id) return history;
  const rest = history.filter((move) => move.deployment !== id && move.deployment !== deployment);
  return [{ deployment, number, movedAtMs }, ...rest].slice(0, limits.deploymentsKept);
}

function domainTaken(host: string): AloftError {
  return new AloftError("DOMAIN_TAKEN", `the domain ${host} is held by another app`, {
    hint: "take it out of aloft.json, or remove it from the app that holds it first",
  });
}

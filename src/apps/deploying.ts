/**
 * Deploys and rollbacks, from what was sent to what is live:
 *
 *   begin    number taken (durable), list of files checked, what the app lacks is named
 *   receive  each file verified and stored
 *   finish   files there? -> folder made -> described, unless this app had this content before -> manifest -> `AliasMoves`
 *
 * A number decides which of two deploys is the later one, so it is taken at the beginning and never given twice.
 */
import type { DeployBegunJson, RollbackJson } from "../contract/api.ts";
import { parseAppConfig } from "../contract/app-config.ts";
import { assertImageConfig } from "../contract/image-config.ts";
import type { Manifest, Runtime } from "../contract/deployment.ts";
import { AloftError } from "../contract/errors.ts";
import { limits } from "../contract/limits.ts";
import { buildManifest, deploymentIdOf } from "../contract/manifest.ts";
import { assertAliasName, assertAppName } from "../contract/names.ts";
import { programsOf } from "../contract/programs.ts";
import { forEachParallel } from "../lib/parallel.ts";
import { assertRequiredVariables, type AliasMoves } from "./alias-moves.ts";
import { hashOfContent } from "./content-store.ts";
import { describePrograms } from "./describing-programs.ts";
import { deploymentFileLimits, imageFileLimits, parseDeploymentFiles } from "./deployment-files.ts";
import { placeDeployment } from "./deployment-place.ts";
import { planImage } from "./images/image-plan.ts";
import { CommitConflict } from "./meta/meta-store.ts";
import type { DeployRequest, OpenDeploy } from "./open-deploys.ts";
import type { Parts } from "./parts.ts";
import { keys, type DeploymentRow } from "./rows.ts";

export interface LiveResult {
  readonly alias: string;
  readonly id: string;
  readonly number: number;
  readonly changed: boolean;
  readonly manifest: Manifest;
}

const statsAtOnce = 16;
const runtimes = ["node", "nodejs", "python", "provided", "command", "image"] as const satisfies readonly Runtime[];

export class Deploying {
  readonly #parts: Parts;
  readonly #moves: AliasMoves;

  constructor(parts: Parts, moves: AliasMoves) {
    this.#parts = parts;
    this.#moves = moves;
  }

  async begin(app: string, body: unknown): Promise<DeployBegunJson> {
    assertAppName(app);
    const request = parseDeployRequest(body);
    this.#parts.running.assertRunnable(request.runtime);
    const number = await this.#takeNumber(app);
    const deploy = this.#parts.deploys.add(app, number, request);
    const missing = [...deploy.bytesOf.keys()].filter((hash) => !this.#parts.catalog.holds(app, hash));
    return { number, missing };
  }

  async receive(app: string, number: number, hash: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const deploy = this.#parts.deploys.getOpen(app, number);
    const bytes = deploy.bytesOf.get(hash);
    if (bytes === undefined) {
      throw new AloftError("REQUEST_INVALID", `deploy ${number} of "${app}" lists no file with the hash ${hash}`);
    }
    // Held beyond the deploy's own end, which may come while the bytes do.
    this.#parts.deploys.hold(hash);
    try {
      await this.#parts.content.receive(chunks, { hash, bytes });
      deploy.received.add(hash);
      deploy.touchedAtMs = this.#parts.clock.monotonicMs();
    } finally {
      this.#parts.deploys.release([hash]);
    }
  }

  async finish(app: string, number: number): Promise<LiveResult> {
    const deploy = this.#parts.deploys.getOpen(app, number);
    deploy.state = "finishing";
    try {
      await this.#assertFilesThere(deploy);
    } catch (error) {
      // The client may send what is missing and finish again.
      if (deploy.state === "finishing") deploy.state = "open";
      throw error;
    }
    const version = deploy.entry === "" ? deploy.runtime : this.#parts.runtimeVersion;
    const id = deploymentIdOf(deploy.files, deploy.entry, deploy.configText, version);
    try {
      return await this.#parts.pins.hold(app, id, () => this.#finishAs(deploy, id));
    } catch (error) {
      // Whatever failed because its app was removed under it is better told like this.
      assertNotEnded(deploy);
      throw error;
    } finally {
      this.#parts.deploys.end(deploy);
    }
  }

  async rollback(app: string, request: RollbackJson): Promise<LiveResult> {
    const { catalog, pins } = this.#parts;
    const { alias } = request;
    this.#rollbackTarget(app, request); // nothing is written for one that cannot be
    const number = await this.#takeNumber(app);
    const id = this.#rollbackTarget(app, request);
    return await pins.hold(app, id, async () => {
      const manifest = catalog.manifestOf(this.#getDeployment(app, id));
      if (this.#isLiveAsSet(app, alias, id)) {
        await this.#moves.settleUnchanged(app, alias, number);
        return { alias, id, number, changed: false, manifest };
      }
      const assertWanted = (): void => void this.#getDeployment(app, id);
      await this.#moves.goLive({ app, alias, number, id, manifest, store: null, assertWanted });
      return { alias, id, number, changed: true, manifest };
    });
  }

  async #finishAs(deploy: OpenDeploy, id: string): Promise<LiveResult> {
    const { app, alias, number } = deploy;
    const { catalog, deploys } = this.#parts;
    const known = catalog.findDeployment(app, id);
    if (known !== null && this.#isLiveAsSet(app, alias, id)) {
      await this.#moves.settleUnchanged(app, alias, number);
      return { alias, id, number, changed: false, manifest: catalog.manifestOf(known) };
    }
    const manifest = known === null ? await this.#describe(deploy, id) : catalog.manifestOf(known);
    const manifestHash = await this.#storeManifest(deploy, manifest);
    try {
      const store: DeploymentRow = {
        createdAtMs: this.#parts.clock.nowMs(),
        number,
        manifestHash,
        files: manifest.files.length,
        bytes: manifest.files.reduce((sum, file) => sum + file.bytes, 0),
        functions: manifest.functions.length,
        ...(manifest.groups.some((group) => group.limits.minInstances > 0) && { keepsInstances: true }),
      };
      const assertWanted = (): void => assertNotEnded(deploy);
      await this.#moves.goLive({ app, alias, number, id, manifest, store, assertWanted });
    } finally {
      deploys.release([manifestHash]);
    }
    return { alias, id, number, changed: true, manifest };
  }

  async #describe(deploy: OpenDeploy, id: string): Promise<Manifest> {
    const { app, alias, runtime, entry, files, config } = deploy;
    const { catalog, content, folders, images, running } = this.#parts;
    const variables = catalog.variables(app, alias);
    const programs = programsOf(config, runtime);
    await placeDeployment(this.#parts, app, id, { runtime, files });
    const variableNames = [...new Set([...config.requiredVariables, ...Object.keys(variables.variables)])];
    const request = { app, root: folders.pathOf(app, id), entry, variableNames };
    const described = entry === "" ? [] : [...(await running.describe(request))];
    described.push(...(await describePrograms(programs, runtime === "image" ? null : files, request, running)));
    const built = buildManifest({ described, config, files, entry, runtime, programs });
    const manifest =
      runtime === "image" ? { ...built, image: await planImage(files, programs, content, images) } : built;
    assertRequiredVariables(app, alias, manifest, variables);
    return manifest;
  }

  /** A content like the files, held until it is released by the caller. */
  async #storeManifest(deploy: OpenDeploy, manifest: Manifest): Promise<string> {
    const { content, deploys } = this.#parts;
    const bytes = Buffer.from(JSON.stringify(manifest));
    const hash = hashOfContent(bytes);
    deploys.hold(hash);
    try {
      await content.put(bytes);
      await content.syncNames([...deploy.received, hash]);
      return hash;
    } catch (error) {
      deploys.release([hash]);
      throw error;
    }
  }

  /** Present is what a deployment of this very app holds or this deploy has sent, in the size it was listed with. */
  async #assertFilesThere(deploy: OpenDeploy): Promise<void> {
    const { catalog, content } = this.#parts;
    const missing: string[] = [];
    await forEachParallel(deploy.bytesOf, statsAtOnce, async ([hash, bytes]) => {
      if (deploy.received.has(hash)) return;
      const size = catalog.holds(deploy.app, hash) ? await content.findSize(hash) : null;
      if (size === null) missing.push(hash);
      else if (size !== bytes) {
        throw new AloftError(
          "FILE_HASH_MISMATCH",
          `the content ${hash} has ${size} bytes and was listed with ${bytes}`,
        );
      }
    });
    if (missing.length === 0) return;
    const first = deploy.files.find((file) => missing.includes(file.hash));
    throw new AloftError("FILE_MISSING", `${missing.length} files were not uploaded, among them ${first?.path}`, {
      hint: "send them and finish again",
      detail: { missing },
    });
  }

  /** Whether the alias names it already, with the variables as they are set now. */
  #isLiveAsSet(app: string, alias: string, id: string): boolean {
    const { catalog } = this.#parts;
    return catalog.findAlias(app, alias)?.deployment === id && catalog.findVariablesLive(app, alias) === null;
  }

  async #takeNumber(app: string): Promise<number> {
    const key = keys.number(app);
    for (;;) {
      const value = this.#parts.meta.get(key);
      const number = Number(value ?? 0) + 1;
      try {
        await this.#parts.meta.commit({ checks: [{ key, value }], writes: [{ key, value: String(number) }] });
        return number;
      } catch (error) {
        // Another deploy of the app took this number: each round somebody gets one.
        if (!(error instanceof CommitConflict)) throw error;
      }
    }
  }

  #rollbackTarget(app: string, { alias, deployment: prefix }: RollbackJson): string {
    const { catalog } = this.#parts;
    const { deployment, history } = catalog.getAlias(app, alias);
    if (prefix === undefined) {
      const before = history.find(
        (move) => move.deployment !== deployment && catalog.findDeployment(app, move.deployment),
      );
      if (before !== undefined) return before.deployment;
      throw new AloftError("NOTHING_TO_ROLL_BACK", `${alias} of "${app}" has no earlier deployment`, {
        hint: `see what there is with: aloft deployments ${app}`,
      });
    }
    const ids = catalog.deployments(app).map((row) => row.name);
    const found = ids.filter((id) => id.startsWith(prefix));
    if (found.length === 1 && found[0] !== undefined && prefix !== "") return found[0];
    const message =
      found.length === 0 ? `"${app}" has no deployment "${prefix}"` : `"${prefix}" begins ${found.length} deployments`;
    throw new AloftError("DEPLOYMENT_NOT_FOUND", message, { hint: `see what there is with: aloft deployments ${app}` });
  }

  #getDeployment(app: string, id: string): DeploymentRow {
    const row = this.#parts.catalog.findDeployment(app, id);
    if (row !== null) return row;
    throw new AloftError("DEPLOYMENT_NOT_FOUND", `"${app}" no longer has the deployment ${id}`);
  }
}

function assertNotEnded(deploy: OpenDeploy): void {
  if (deploy.state !== "ended") return;
  throw new AloftError("DEPLOY_NOT_FOUND", `deploy ${deploy.number} ended because "${deploy.app}" was removed`, {
    hint: "begin the deploy again",
  });
}

function parseDeployRequest(body: unknown): DeployRequest {
  if (typeof body !== "object" || body === null) throw invalid("the body must be a JSON object");
  const { alias, runtime: asked, entry, files: list, config: configText } = body as Record<string, unknown>;
  if (typeof alias !== "string") throw invalid("alias must be a string");
  assertAliasName(alias);
  const runtime = runtimes.find((one) => one === asked);
  if (runtime === undefined)
    throw invalid(`runtime must be one of ${runtimes.join(", ")}, got ${JSON.stringify(asked)}`);
  if (typeof entry !== "string") throw invalid("entry must be a string");
  if (typeof configText !== "string") throw invalid("config must be a string");
  if (Buffer.byteLength(configText) > limits.configBytes) {
    throw invalid(`config has more than the ${limits.configBytes} bytes allowed`);
  }
  const files = parseDeploymentFiles(list, runtime === "image" ? imageFileLimits : deploymentFileLimits);
  if (entry !== "" && !files.some((file) => file.path === entry)) {
    throw invalid(`the entry ${entry} is not one of the files`);
  }
  const config = parseAppConfig(configText);
  if (runtime === "image") assertImageConfig(config, entry);
  else if (config.runtime !== null && config.runtime !== runtime) {
    throw invalid(`runtime is ${runtime}, and that of aloft.json is ${config.runtime}`);
  }
  return { alias, runtime, entry, files, configText, config };
}

function invalid(message: string): AloftError {
  return new AloftError("REQUEST_INVALID", message);
}

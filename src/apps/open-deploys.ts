/**
 * The deploys that were begun and have not ended: in memory only, because a client whose server restarted begins again.
 *
 *   open -> finishing -> ended          open -> ended (expired, pushed out, or the app was removed)
 *
 * An open deploy holds every content it lists: the collector leaves those alone from the first moment on, so what
 * `begin` found to be there is still there at the end.
 */
import type { AppConfig } from "../contract/app-config.ts";
import type { DeploymentFile, Runtime } from "../contract/deployment.ts";
import { AloftError } from "../contract/errors.ts";
import { limits } from "../contract/limits.ts";
import type { Clock } from "../lib/clock.ts";

export interface DeployRequest {
  readonly alias: string;
  readonly runtime: Runtime;
  readonly entry: string;
  readonly files: readonly DeploymentFile[];
  readonly configText: string;
  readonly config: AppConfig;
}

export interface OpenDeploy extends DeployRequest {
  readonly app: string;
  readonly number: number;
  /** Sizes of the contents listed, by hash. */
  readonly bytesOf: ReadonlyMap<string, number>;
  /** Hashes whose bytes this deploy has sent. */
  readonly received: Set<string>;
  state: "open" | "finishing" | "ended";
  touchedAtMs: number;
}

export class OpenDeploys {
  readonly #clock: Clock;
  readonly #released: (hashes: Iterable<string>) => void;
  readonly #deploys = new Map<string, OpenDeploy>();
  readonly #holds = new Map<string, number>();

  /** `released` is called with contents that nobody here holds any longer. */
  constructor(clock: Clock, released: (hashes: Iterable<string>) => void) {
    this.#clock = clock;
    this.#released = released;
  }

  add(app: string, number: number, request: DeployRequest): OpenDeploy {
    this.#makeRoom(app);
    const deploy: OpenDeploy = {
      ...request,
      app,
      number,
      bytesOf: new Map(request.files.map((file) => [file.hash, file.bytes])),
      received: new Set(),
      state: "open",
      touchedAtMs: this.#clock.monotonicMs(),
    };
    this.#deploys.set(`${app}/${number}`, deploy);
    for (const hash of deploy.bytesOf.keys()) this.hold(hash);
    return deploy;
  }

  /** Throws DEPLOY_NOT_FOUND. */
  getOpen(app: string, number: number): OpenDeploy {
    const deploy = this.#deploys.get(`${app}/${number}`);
    if (deploy?.state !== "open") {
      throw new AloftError("DEPLOY_NOT_FOUND", `there is no open deploy ${number} of "${app}"`, {
        hint: "begin the deploy again",
      });
    }
    deploy.touchedAtMs = this.#clock.monotonicMs();
    return deploy;
  }

  end(deploy: OpenDeploy): void {
    if (deploy.state === "ended") return;
    deploy.state = "ended";
    this.#deploys.delete(`${deploy.app}/${deploy.number}`);
    this.release(deploy.bytesOf.keys());
  }

  endAll(app: string): void {
    for (const deploy of this.#of(app)) this.end(deploy);
  }

  /** Ends those that nobody has touched for `limits.openDeployMs`. */
  expire(): void {
    const before = this.#clock.monotonicMs() - limits.openDeployMs;
    for (const deploy of this.#deploys.values()) {
      if (deploy.state === "open" && deploy.touchedAtMs < before) this.end(deploy);
    }
  }

  isHeld(hash: string): boolean {
    return this.#holds.has(hash);
  }

  hold(hash: string): void {
    this.#holds.set(hash, (this.#holds.get(hash) ?? 0) + 1);
  }

  release(hashes: Iterable<string>): void {
    const free: string[] = [];
    for (const hash of hashes) {
      const count = (this.#holds.get(hash) ?? 1) - 1;
      if (count > 0) this.#holds.set(hash, count);
      else if (this.#holds.delete(hash)) free.push(hash);
    }
    this.#released(free);
  }

  #of(app: string): readonly OpenDeploy[] {
    return [...this.#deploys.values()].filter((deploy) => deploy.app === app);
  }

  /** The one left alone for the longest goes when an app has too many. */
  #makeRoom(app: string): void {
    this.expire();
    const open = this.#of(app).filter((deploy) => deploy.state === "open");
    if (open.length < limits.openDeploysPerApp) return;
    const idlest = open.toSorted((a, b) => a.touchedAtMs - b.touchedAtMs)[0];
    if (idlest !== undefined) this.end(idlest);
  }
}

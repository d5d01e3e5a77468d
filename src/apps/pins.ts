/** Folders of deployments that a deploy or a rollback is working with: the collector leaves them alone. */
export class Pins {
  readonly #counts = new Map<string, number>();

  has(app: string, id: string): boolean {
    return this.#counts.has(`${app}/${id}`);
  }

  async hold<T>(app: string, id: string, work: () => Promise<T>): Promise<T> {
    const key = `${app}/${id}`;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    try {
      return await work();
    } finally {
      const count = (this.#counts.get(key) ?? 1) - 1;
      if (count > 0) this.#counts.set(key, count);
      else this.#counts.delete(key);
    }
  }
}

/** Those who want to see items as they come, each with a filter. Called at once, on the main thread. */
export class Followers<Item> {
  readonly #followers = new Set<(item: Item) => void>();

  /** Whether anyone follows: the only thing the hot path asks. */
  get isEmpty(): boolean {
    return this.#followers.size === 0;
  }

  /** Returns the way to stop. */
  add(passes: (item: Item) => boolean, onItem: (item: Item) => void): () => void {
    const follower = (item: Item): void => {
      if (passes(item)) onItem(item);
    };
    this.#followers.add(follower);
    return () => {
      this.#followers.delete(follower);
    };
  }

  /** A follower that throws is let go: what it does must not fail the invocation whose record this is. */
  tell(item: Item): void {
    for (const follower of this.#followers) {
      try {
        follower(item);
      } catch {
        this.#followers.delete(follower);
      }
    }
  }

  clear(): void {
    this.#followers.clear();
  }
}

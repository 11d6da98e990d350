// Runs the tasks of one key one after another, in the order in which they came. Tasks of different keys do not wait for
// each other.
export class OneByOne<K> {
  /** The last task of each key. An entry is removed when its task ends, so the tasks in progress bound the map. */
  readonly #last = new Map<K, Promise<void>>();

  /** `isFirst`: no other task of this key was in progress. */
  async run<T>(key: K, task: (isFirst: boolean) => Promise<T>): Promise<T> {
    const before = this.#last.get(key);
    const mine = before === undefined ? task(true) : before.then(() => task(false));
    // The next task waits for the end of this one, also if it fails; only the caller of `mine` receives the failure.
    const ended = mine.then(
      () => undefined,
      () => undefined,
    );
    this.#last.set(key, ended);
    try {
      return await mine;
    } finally {
      if (this.#last.get(key) === ended) this.#last.delete(key);
    }
  }
}

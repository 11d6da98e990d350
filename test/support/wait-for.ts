// How a test waits without sleeping: for an item of an async iterable (Collector), for a condition that nothing
// announces (eventually), or for one turn of the event loop (turn).

/** Reads an async iterable in the background. A wait ends with the item that fulfils its condition, and fails when the
 *  iterable ends first. */
export class Collector<T> {
  readonly seen: T[] = [];
  readonly #running: Promise<void>;
  readonly #waiting = new Set<() => void>();
  #state: 'running' | 'ended' | 'failed' = 'running';

  constructor(source: AsyncIterable<T>) {
    this.#running = this.#run(source);
    // A test that waits receives the error; a test that does not wait does not need it.
    this.#running.catch(() => undefined);
  }

  /** Resolves when the condition holds; fails when the iterable ends or throws first. */
  async until(condition: (seen: readonly T[]) => boolean): Promise<readonly T[]> {
    while (!condition(this.seen)) {
      if (this.#state !== 'running') {
        await this.#running;
        throw new Error(
          `ended after ${this.seen.length} items, before the condition held: ${JSON.stringify(this.seen.slice(-3))}`,
        );
      }
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
    return this.seen;
  }

  /** Everything, once the iterable has ended. @throws what the iterable threw */
  async ended(): Promise<readonly T[]> {
    await this.#running;
    return this.seen;
  }

  get running(): boolean {
    return this.#state === 'running';
  }

  async #run(source: AsyncIterable<T>): Promise<void> {
    try {
      for await (const item of source) {
        this.seen.push(item);
        this.#tell();
      }
      this.#state = 'ended';
    } catch (error) {
      this.#state = 'failed';
      throw error;
    } finally {
      this.#tell();
    }
  }

  #tell(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}

/** One turn of the event loop: callbacks of finished I/O have run when it resolves. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Resolves when the condition holds. Checks it at every turn of the event loop; the time limit of the test ends it. */
export async function eventually(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await turn();
}

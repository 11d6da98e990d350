// An observable value that changes far more often than it is read. A change only marks it stale; listeners are notified
// once a frame, and the value is built when it is read. So 500 tokens a second cost a view no more redraws than its
// screen shows.
import type { Environment } from '../environment.ts';

export class SnapshotStore<T> {
  readonly #build: () => T;
  readonly #environment: Pick<Environment, 'frame'>;
  readonly #listeners = new Set<() => void>();
  #value: T;
  #stale = false;
  #cancelFrame: (() => void) | undefined;

  constructor(environment: Pick<Environment, 'frame'>, build: () => T) {
    this.#environment = environment;
    this.#build = build;
    this.#value = build();
  }

  /** The same object until a change. */
  get(): T {
    if (this.#stale) {
      this.#stale = false;
      this.#value = this.#build();
    }
    return this.#value;
  }

  subscribe(listener: () => void): () => void {
    // A wrapper of its own: the same function subscribed twice is two subscriptions.
    const own = (): void => listener();
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  changed(): void {
    this.#stale = true;
    this.#cancelFrame ??= this.#environment.frame(() => this.flush());
  }

  /** Notifies the listeners now. For the last change before the owner closes. */
  flush(): void {
    this.#cancelFrame?.();
    this.#cancelFrame = undefined;
    for (const listener of [...this.#listeners]) listener();
  }
}

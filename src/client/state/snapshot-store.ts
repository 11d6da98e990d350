// An observable value that is told about far more often than anybody looks. Changes only mark it stale; its
// listeners hear of them once a frame, and the value is built when somebody asks. So 500 tokens a second cost
// a view no more redraws than its screen can show.
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

  /** The same object until something changed. */
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

  /** Tells the listeners now. For the last change before the owner closes. */
  flush(): void {
    this.#cancelFrame?.();
    this.#cancelFrame = undefined;
    for (const listener of [...this.#listeners]) listener();
  }
}

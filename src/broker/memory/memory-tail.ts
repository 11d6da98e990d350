// One attached reader of a topic in memory: how it waits, and how it learns that its topic has ended even if
// the name has been given to a new topic before it asks again.
import type { Reset } from '../broker.ts';

export class MemoryTail {
  readonly majorOnly: boolean;
  #ended: Reset | undefined;
  #wake: (() => void) | undefined;

  constructor(majorOnly: boolean) {
    this.majorOnly = majorOnly;
  }

  get ended(): Reset | undefined {
    return this.#ended;
  }

  end(reset: Reset): void {
    this.#ended = reset;
    this.wake();
  }

  wake(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  /** Must be asked in the same turn in which there was nothing to read, so that no wake-up falls between. */
  woken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}

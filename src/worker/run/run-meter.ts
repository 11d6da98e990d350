// Counts what one attempt at a run receives from its model: the time of the first token, and the number of events. One
// increment per token; the terminal of the run carries the figures.
import type { RunTally } from '../../session/events/chat-event.ts';

export class RunMeter {
  readonly #now: () => string;
  readonly #onFirst: () => void;
  #firstTokenAt: string | undefined;
  #deltas = 0;

  /** `now` returns the run's own time. `onFirst` is called at the first token. */
  constructor(now: () => string, onFirst: () => void) {
    this.#now = now;
    this.#onFirst = onFirst;
  }

  /** Something came from the model. */
  get hasBegun(): boolean {
    return this.#firstTokenAt !== undefined;
  }

  count(): void {
    this.#firstTokenAt ??= this.#begin();
    this.#deltas += 1;
  }

  #begin(): string {
    this.#onFirst();
    return this.#now();
  }

  /** Sets the end of the attempt to now. */
  tally(): RunTally {
    const endedAt = this.#now();
    return this.#firstTokenAt === undefined
      ? { endedAt }
      : { endedAt, firstTokenAt: this.#firstTokenAt, deltas: this.#deltas };
  }
}

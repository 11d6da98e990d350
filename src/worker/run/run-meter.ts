// Counts what one attempt at a run receives from its model: the time of the first token, and the number of events. One
// increment per token; the terminal of the run carries the figures.
import type { RunTally } from '../../session/events/chat-event.ts';

export class RunMeter {
  readonly #now: () => string;
  #firstTokenAt: string | undefined;
  #deltas = 0;

  /** `now` returns the run's own time. */
  constructor(now: () => string) {
    this.#now = now;
  }

  count(): void {
    this.#firstTokenAt ??= this.#now();
    this.#deltas += 1;
  }

  /** Sets the end of the attempt to now. */
  tally(): RunTally {
    const endedAt = this.#now();
    return this.#firstTokenAt === undefined
      ? { endedAt }
      : { endedAt, firstTokenAt: this.#firstTokenAt, deltas: this.#deltas };
  }
}

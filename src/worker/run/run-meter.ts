// What one attempt at a run hears from its model: when the first token came, and how many pieces. A step of a counter
// a token; whoever writes the end puts it into the terminal.
import type { RunTally } from '../../session/events/chat-event.ts';

export class RunMeter {
  readonly #now: () => string;
  #firstTokenAt: string | undefined;
  #deltas = 0;

  /** `now`: tells the time of this run. */
  constructor(now: () => string) {
    this.#now = now;
  }

  count(): void {
    this.#firstTokenAt ??= this.#now();
    this.#deltas += 1;
  }

  /** Ended now. */
  tally(): RunTally {
    const endedAt = this.#now();
    return this.#firstTokenAt === undefined
      ? { endedAt }
      : { endedAt, firstTokenAt: this.#firstTokenAt, deltas: this.#deltas };
  }
}

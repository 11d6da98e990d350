// What one attempt at a run hears from its model: when the first token came, and how many pieces. A step of a counter
// a token; whoever writes the end puts it into the terminal.
import { isoTime, type Clock } from '../clock.ts';
import type { RunTally } from '../session/chat-event.ts';

export class RunMeter {
  readonly #clock: Clock;
  #firstTokenAt: string | undefined;
  #deltas = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  heard(): void {
    this.#firstTokenAt ??= isoTime(this.#clock);
    this.#deltas += 1;
  }

  /** Ended now. */
  tally(): RunTally {
    const endedAt = isoTime(this.#clock);
    return this.#firstTokenAt === undefined ? { endedAt } : { endedAt, firstTokenAt: this.#firstTokenAt, deltas: this.#deltas };
  }
}

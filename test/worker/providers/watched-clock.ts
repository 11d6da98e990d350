// A manual clock that reports the timers that were set: a test of a wait over a real socket needs to know when the wait
// begins.
import type { Timer } from '../../../src/base/clock.ts';
import { ManualClock } from '../../support/manual-clock.ts';

export class WatchedClock extends ManualClock {
  readonly #set: number[] = [];
  readonly #waiting: ((ms: number) => void)[] = [];

  override after(ms: number, callback: () => void): Timer {
    const timer = super.after(ms, callback);
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#set.push(ms);
    else waiting(ms);
    return timer;
  }

  /** The ms of the timers in the order in which they were set, one for each call; waits for a timer that is not set
   *  yet. */
  async nextTimer(): Promise<number> {
    const ms = this.#set.shift();
    return ms ?? new Promise((resolve) => this.#waiting.push(resolve));
  }
}

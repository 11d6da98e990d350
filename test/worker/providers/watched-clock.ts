// A clock moved by hand that tells which timers were set: a test of waiting over a real socket has to know when the
// waiting begins.
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

  /** The ms of the timers in the order they were set, one a call; waits for one that is not set yet. */
  async nextTimer(): Promise<number> {
    const ms = this.#set.shift();
    return ms ?? new Promise((resolve) => this.#waiting.push(resolve));
  }
}

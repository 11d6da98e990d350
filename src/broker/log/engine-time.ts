// The time by which topics expire: wall time as it was at the start, and from then on the time that really passed.
// A wall clock that is set forward under a running engine must not expire every chat at once, and one that was set
// back over a restart must not bring expired ones to life.
import type { Clock } from '../../clock.ts';

export class EngineTime {
  readonly #clock: Clock;
  readonly #base: number;
  readonly #start: number;

  /** `persisted`: the latest time that the log or the checkpoint has on record. */
  constructor(clock: Clock, persisted: number) {
    this.#clock = clock;
    this.#base = Math.max(clock.now(), persisted);
    this.#start = clock.mono();
  }

  /** Whole ms since 1970. */
  now(): number {
    return Math.floor(this.#base + (this.#clock.mono() - this.#start));
  }
}

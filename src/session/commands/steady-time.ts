// The clock for the times of a run. The wall clock of a machine may be set while a run is queued or running, and the
// run's durations would be wrong by as much. So all times of a run are the wall clock at the first of them plus the
// time that the monotonic clock has measured since.
import type { Clock } from '../../base/clock.ts';

/** A smaller difference is not a jump: a wall clock under correction runs a little slower or faster. */
const JUMP_MS = 1_000;
/** How much the clocks of two nodes may differ. */
const SKEW_MS = 5_000;
/** Settings of the wall clock that are kept. */
const FRAMES_MAX = 16;

/** From `since` (monotonic) on, the wall clock was the monotonic clock plus `offset`. */
interface Frame {
  readonly since: number;
  offset: number;
}

export class SteadyTime {
  readonly #clock: Clock;
  /** Oldest first. */
  readonly #frames: Frame[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#sample();
  }

  /** Returns a clock for the run whose first time is `first`. Both use the format of events. */
  of(first: string): () => string {
    const latest = this.#sample();
    const { offset } = this.#frameOf(Date.parse(first)) ?? latest;
    return () => new Date(this.#clock.mono() + offset).toISOString();
  }

  #sample(): Frame {
    const mono = this.#clock.mono();
    const offset = this.#clock.now() - mono;
    const last = this.#frames.at(-1);
    if (last !== undefined && Math.abs(offset - last.offset) < JUMP_MS) {
      last.offset = offset;
      return last;
    }
    const frame = { since: mono, offset };
    this.#frames.push(frame);
    if (this.#frames.length > FRAMES_MAX) this.#frames.shift();
    return frame;
  }

  /** The newest frame in which the wall clock showed that time. A time before this process belongs to the oldest
   *  frame. */
  #frameOf(wall: number): Frame | undefined {
    const mono = this.#clock.mono();
    return this.#frames.findLast(
      ({ since, offset }, i) => (i === 0 || wall >= since + offset - SKEW_MS) && wall <= mono + offset + SKEW_MS,
    );
  }
}

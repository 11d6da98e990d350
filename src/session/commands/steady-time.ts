// The times of a run, told by a clock that does not jump while the run goes on. The wall clock of a machine may be set
// while a run waits or is answered; its durations would then be wrong by as much. So all times of a run are told by the wall
// clock as it stood when the first of them was written, moved on by the monotonic clock.
import type { Clock } from '../../base/clock.ts';

/** A smaller difference is no jump: a wall clock that is being corrected runs a little slower or faster. */
const JUMP_MS = 1_000;
/** How much the clocks of two nodes may differ. */
const SKEW_MS = 5_000;
/** Settings of the wall clock that are remembered. */
const FRAMES_MAX = 16;

/** From `since` (monotonic) on, the wall clock was the monotonic one and `offset`. */
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

  /** Tells the time for a run whose first time is `first`, as events write it. */
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

  /** The newest in which it was that time once. What was written before this process began belongs to the oldest. */
  #frameOf(wall: number): Frame | undefined {
    const mono = this.#clock.mono();
    return this.#frames.findLast(
      ({ since, offset }, i) => (i === 0 || wall >= since + offset - SKEW_MS) && wall <= mono + offset + SKEW_MS,
    );
  }
}

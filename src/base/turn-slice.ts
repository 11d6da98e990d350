// Divides a walk over many items into slices. A slice takes a few ms of one turn of the event loop, and everything else
// that waits gets its turn before the next slice. The walk owns its items: they may change between two slices.
import { setImmediate } from 'node:timers/promises';
import type { Clock } from './clock.ts';

export interface SliceLimits {
  /** ms of one turn after which a slice is over. */
  readonly sliceMs: number;
  /** Items after which a slice is over. */
  readonly sliceItems: number;
}

/** A turn also has the work of others, and a turn of 20 ms is one that users notice. */
export const SLICE_LIMITS: SliceLimits = { sliceMs: 4, sliceItems: 1024 };

export class TurnSlice {
  readonly #clock: Pick<Clock, 'mono'>;
  readonly #limits: SliceLimits;
  #endsAt = 0;
  #left = 0;

  constructor(clock: Pick<Clock, 'mono'>, limits: SliceLimits) {
    this.#clock = clock;
    this.#limits = limits;
    this.begin();
  }

  /** Begins a slice in this turn. A walk that waited for something else calls it before it continues. */
  begin(): void {
    this.#endsAt = this.#clock.mono() + this.#limits.sliceMs;
    this.#left = this.#limits.sliceItems;
  }

  /** Counts one item. True: the walk must await `next` before the item after it. */
  isOver(): boolean {
    this.#left -= 1;
    return this.#left <= 0 || this.#clock.mono() >= this.#endsAt;
  }

  /** Resolves in another turn, and begins a slice there. */
  async next(): Promise<void> {
    await setImmediate();
    this.begin();
  }
}

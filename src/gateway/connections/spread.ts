// Doing something to many over a window of time, each at a moment of its own, so that what follows is no storm.
import type { Clock, Timer } from '../../base/clock.ts';

export interface SpreadDeps {
  readonly clock: Clock;
  /** From 0 to 1. */
  readonly random: () => number;
}

export function spread<T>(
  items: readonly T[],
  windowMs: number,
  { clock, random }: SpreadDeps,
  visit: (item: T) => void,
): Timer[] {
  return items.map((item, i) => clock.after(Math.floor(((i + random()) / items.length) * windowMs), () => visit(item)));
}

// Visits many items over a window of time, each at a moment of its own, so that the consequences do not come at once.
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

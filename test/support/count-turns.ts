// Counts the turns of the event loop, for tests of walks that must leave turns to everything else.
import { onTestFinished } from 'vitest';

/** Counts until the test ends. */
export function countTurns(): { turns: number } {
  const counted = { turns: 0 };
  let next: NodeJS.Immediate;
  const count = (): void => {
    counted.turns += 1;
    next = setImmediate(count);
  };
  next = setImmediate(count);
  onTestFinished(() => clearImmediate(next));
  return counted;
}

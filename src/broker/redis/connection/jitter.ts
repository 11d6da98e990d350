// Random waits, so that nodes that lost the same server, or were started together, do not all call it at once.
import { randomInt } from 'node:crypto';

/** The pause before another try: from 0 to `ms`, exclusive. */
export function jittered(ms: number): number {
  return randomInt(ms);
}

/** The pause between two periodic checks: `ms`, a quarter more or less. */
export function about(ms: number): number {
  return randomInt(ms * 0.75, ms * 1.25);
}

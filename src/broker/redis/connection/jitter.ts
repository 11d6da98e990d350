// Random waits, so that nodes that lost the same server, or were started together, do not all call it at once.
import { randomInt } from 'node:crypto';

/** The time, apart from jitter, between two periodic checks for changes whose message was lost. */
export const RECHECK_MS = 15_000;

/** The pause before another try: from 0 to `ms`, exclusive. */
export function jittered(ms: number): number {
  return randomInt(ms);
}

/** The pause between two periodic checks: `ms`, a quarter more or less. */
export function about(ms: number): number {
  return randomInt(ms * 0.75, ms * 1.25);
}

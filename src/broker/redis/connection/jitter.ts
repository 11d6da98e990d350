// Chance in how long a node waits: nodes that lost the same server, or were started together, do not all ask at once.
import { randomInt } from 'node:crypto';

/** Before another try: from nothing to this. */
export function jittered(ms: number): number {
  return randomInt(ms);
}

/** Between two looks at the same thing: a quarter more or less. */
export function about(ms: number): number {
  return randomInt(ms * 0.75, ms * 1.25);
}

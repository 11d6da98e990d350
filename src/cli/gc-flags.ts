// The garbage collector flags of a serving process, measured with `load/stream.ts`. A V8 that does not know a flag
// prints a warning and continues.
import { setFlagsFromString } from 'node:v8';

/** Percent of the heap that was alive at the last marking. */
const GROWTH = 50;

export function setGcFlags(): void {
  // By default V8 marks a slowly growing heap again when it has grown by a tenth, external memory included: on a busy
  // node every few seconds, without need, and tokens wait while it marks. (hot: ADR 7 §4)
  setFlagsFromString(`--heap-growing-percent=${GROWTH}`);
  // About two or three megabytes survive a scavenge here. To wake four helper threads costs more than the scavenge
  // itself. (hot: ADR 7 §8)
  setFlagsFromString('--no-parallel-scavenge');
}

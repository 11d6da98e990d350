// How the garbage collector of a serving process is set. Measured with `load/stream.ts`; a V8 that does not know one of these
// flags says so and goes on.
import { setFlagsFromString } from 'node:v8';

/** In percent of what was alive when the heap was last marked. */
const GROWTH = 50;

export function setGcFlags(): void {
  // V8 marks a heap that grows slowly again when it has grown by a tenth, bytes outside of it included: on a busy node every
  // few seconds, for nothing, and while it marks tokens wait.
  setFlagsFromString(`--heap-growing-percent=${GROWTH}`);
  // What survives a scavenge here is two or three megabytes. To wake four helpers for that costs more than all of it.
  setFlagsFromString('--no-parallel-scavenge');
}

// How the garbage collector of a serving process is set.
import { setFlagsFromString } from 'node:v8';

/** In percent of what was alive when the heap was last marked. */
const GROWTH = 50;

/** V8 marks a heap that grows slowly again when it has grown by a tenth, bytes outside of it included: on a busy node every
 *  few seconds, for nothing, and while it marks tokens wait. A V8 that knows no such flag says so and goes on. */
export function letHeapGrow(): void {
  setFlagsFromString(`--heap-growing-percent=${GROWTH}`);
}

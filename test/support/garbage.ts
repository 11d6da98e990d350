// Runs the garbage collector now, for promises that must hold after a collection too.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** More than one round also collects objects that only become free when their holder was collected. */
const ROUNDS = 4;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

export async function collectGarbage(): Promise<void> {
  for (let i = 0; i < ROUNDS; i += 1) {
    collect();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

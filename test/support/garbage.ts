// What the collector takes, taken now: for promises that must hold also after it has been there.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Also collects objects that only become free when their holder was collected. */
const ROUNDS = 4;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

export async function collectGarbage(): Promise<void> {
  for (let i = 0; i < ROUNDS; i += 1) {
    collect();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

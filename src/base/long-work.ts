// Work that may take more than a few ms of one turn of the event loop: what does not end in its first slice continues
// in slices of later turns, so that live streams do not wait for it. One piece of work continues at a time, in the
// order in which it came, because the slices of several would share a turn.
import type { Clock } from './clock.ts';
import { OneByOne } from './one-by-one.ts';
import { TurnSlice, type SliceLimits } from './turn-slice.ts';

/** Half of what a walk over the log takes: a token takes several turns from its model to its reader. */
const LIMITS: SliceLimits = { sliceMs: 2, sliceItems: 256 };

export class LongWork {
  readonly #clock: Pick<Clock, 'mono'>;
  readonly #underWay = new OneByOne<'work'>();

  constructor(clock: Pick<Clock, 'mono'>) {
    this.#clock = clock;
  }

  /** Takes all steps. Long work ends in a turn of its own, because what follows it may be long as well and cannot be
   *  divided: an append. @throws what a step throws: the steps behind it are not taken */
  async run(steps: Iterator<unknown>): Promise<void> {
    const slice = new TurnSlice(this.#clock, LIMITS);
    if (isDoneIn(slice, steps)) return;
    await this.#underWay.run('work', async () => {
      do await slice.next();
      while (!isDoneIn(slice, steps));
      await slice.next();
    });
  }
}

/** Takes the steps of one slice. True: none is left. */
function isDoneIn(slice: TurnSlice, steps: Iterator<unknown>): boolean {
  do if (steps.next().done === true) return true;
  while (!slice.isOver());
  return false;
}

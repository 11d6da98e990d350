// The credit of a worker with a clock: its consumers are notified when it changes, also when a rest ends.
import { expect, it } from 'vitest';
import type { Clock } from '../../src/base/clock.ts';
import { REST_FAILURES, REST_MS_MAX } from '../../src/worker/credit-rule.ts';
import { WorkerCredit } from '../../src/worker/worker-credit.ts';
import { ManualClock } from '../support/manual-clock.ts';

/** The credit as its consumers see it. */
function watch(clock: Clock, max: number): { readonly credit: WorkerCredit; readonly seen: number[] } {
  const credit = new WorkerCredit(clock, max);
  const seen: number[] = [];
  credit.subscribe(() => seen.push(credit.credit));
  return { credit, seen };
}

it('is there again when a rest ends, also where the timer fires before its time', async () => {
  const clock = new ManualClock();
  const early: Clock = {
    now: () => clock.now(),
    mono: () => clock.mono(),
    after: (ms, callback) => clock.after(ms - 0.7, callback),
  };
  const { credit, seen } = watch(early, 8);
  for (let i = 0; i < REST_FAILURES; i += 1) credit.note({ failed: true, begunAt: clock.mono() });
  expect(seen).toEqual([4, 2, 0]);
  await clock.advance(REST_MS_MAX);
  expect(seen).toEqual([4, 2, 0, 1]);
});

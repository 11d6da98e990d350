// The watch after a cancel: one check after the grace period, once for each run, within bounds, and none after the
// close.
import { expect, it } from 'vitest';
import { BrokerError } from '../../src/broker/errors.ts';
import { CancelWatch } from '../../src/gateway/watch/cancel-watch.ts';
import { CANCEL_GRACE_MS } from '../../src/session/runs.ts';
import { ManualClock } from '../support/manual-clock.ts';

const ref = { tenant: 'default', sessionId: 's' };

function start(
  watchesMax = 10,
  fail = false,
): { clock: ManualClock; watch: CancelWatch; ended: string[]; errors: unknown[] } {
  const clock = new ManualClock();
  const ended: string[] = [];
  const errors: unknown[] = [];
  const endCancelled = async (_ref: unknown, runId: string): Promise<boolean> => {
    if (fail) throw new Error('broken');
    ended.push(runId);
    return true;
  };
  return {
    clock,
    ended,
    errors,
    watch: new CancelWatch({ runs: { endCancelled }, clock, watchesMax, onError: (error) => errors.push(error) }),
  };
}

it('ends a run once, after the grace period, when the run was cancelled several times', async () => {
  const { clock, watch, ended } = start();
  watch.watch(ref, 'a');
  await clock.advance(CANCEL_GRACE_MS - 1);
  watch.watch(ref, 'a');
  expect(ended).toEqual([]);
  await clock.advance(1);
  expect(ended).toEqual(['a']);
  await clock.advance(CANCEL_GRACE_MS);
  expect([ended, watch.size]).toEqual([['a'], 0]);
});

it('watches no more runs than its limit', async () => {
  const { clock, watch, ended } = start(2);
  for (const runId of ['a', 'b', 'c']) watch.watch(ref, runId);
  await clock.advance(CANCEL_GRACE_MS);
  expect(ended).toEqual(['a', 'b']);
});

it('ends no run after it is closed', async () => {
  const { clock, watch, ended } = start();
  watch.watch(ref, 'a');
  watch.close();
  watch.watch(ref, 'b');
  await clock.advance(CANCEL_GRACE_MS);
  expect([ended, watch.size, clock.timers]).toEqual([[], 0, 0]);
});

it('reports a failure', async () => {
  const { clock, watch, errors } = start(10, true);
  watch.watch(ref, 'a');
  await clock.advance(CANCEL_GRACE_MS);
  expect(errors).toHaveLength(1);
});

it('tries again when the log could not be reached', async () => {
  const clock = new ManualClock();
  let looks = 0;
  const endCancelled = async (): Promise<boolean> => {
    looks += 1;
    if (looks === 1) throw new BrokerError('unavailable', 'nobody there');
    return true;
  };
  const watch = new CancelWatch({ runs: { endCancelled }, clock, watchesMax: 1, onError: () => undefined });
  watch.watch(ref, 'a');
  await clock.advance(2 * CANCEL_GRACE_MS);
  expect([looks, watch.size]).toEqual([2, 0]);
});

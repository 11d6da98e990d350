// What waits for a checkpoint continues when none can come any more.
import { expect, test } from 'vitest';
import { CheckpointSchedule, type ScheduleParts } from '../../../src/broker/log/checkpoint/checkpoint-schedule.ts';
import { DEFAULT_LIMITS } from '../../../src/broker/log/limits.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { turn } from '../../support/wait-for.ts';

/** A schedule whose changed topics are too many, and whose log flushes nothing. */
function setUp() {
  const clock = new ManualClock();
  const commit = { requestSync: () => undefined, synced: true };
  const parts = { clock, limits: { ...DEFAULT_LIMITS, dirtyTopicsMax: 1 }, table: { dirty: new Set([1, 2]) }, commit };
  const work = { isNeededForRoom: () => false, writeCheckpoint: () => Promise.resolve() };
  const schedule = new CheckpointSchedule(parts as unknown as ScheduleParts, work);
  const state = { hasRoom: false };
  void schedule.whenRoom().then(() => (state.hasRoom = true));
  return { clock, schedule, state };
}

test('a sweep that waits for a checkpoint continues when the log has failed', async () => {
  const { clock, schedule, state } = setUp();
  await turn();
  expect(state.hasRoom).toBe(false);
  schedule.end();
  await turn();
  expect([state.hasRoom, clock.timers]).toEqual([true, 0]);
});

test('a sweep does not wait for a checkpoint of a log that has failed', async () => {
  const { schedule } = setUp();
  schedule.end();
  await expect(schedule.whenRoom()).resolves.toBeUndefined();
});

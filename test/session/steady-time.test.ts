// The timestamps of a run when the wall clock of the machine is set.
import { expect, it } from 'vitest';
import { SteadyTime } from '../../src/session/commands/steady-time.ts';
import { ManualClock } from '../support/manual-clock.ts';

const HOUR_MS = 3_600_000;
const wall = (clock: ManualClock): string => new Date(clock.now()).toISOString();

it.each([HOUR_MS, -HOUR_MS, 100 * 24 * HOUR_MS])(
  'the time of a run › ignores a jump of the wall clock during the run, and a later run follows it (%i ms)',
  async (jumpMs) => {
    const clock = new ManualClock();
    const time = new SteadyTime(clock);
    await clock.advance(10_000);
    const first = wall(clock);
    await clock.advance(2000);
    clock.jumpWall(jumpMs);
    await clock.advance(1000);
    expect(Date.parse(time.of(first)()) - Date.parse(first)).toBe(3000);
    const second = wall(clock);
    const now = time.of(second);
    await clock.advance(500);
    clock.jumpWall(-jumpMs);
    await clock.advance(500);
    expect(Date.parse(now()) - Date.parse(second)).toBe(1000);
    expect(Date.parse(time.of(second)()) - Date.parse(second)).toBe(1000);
    expect(time.of(wall(clock))()).toBe(wall(clock));
  },
);

it('the time of a run › follows small corrections of the clock, and a begin that another node stamped slightly ahead', async () => {
  const clock = new ManualClock();
  const time = new SteadyTime(clock);
  for (let i = 0; i < 100; i += 1) {
    clock.jumpWall(-100);
    await clock.advance(1000);
    expect(time.of(wall(clock))()).toBe(wall(clock));
  }
  const ahead = new Date(clock.now() + 2000).toISOString();
  expect(time.of(ahead)()).toBe(wall(clock));
});

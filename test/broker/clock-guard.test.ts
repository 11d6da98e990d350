// When an engine follows the machine's clock: never a jump at once, and always a jump that lasts.
import { describe, expect, test } from 'vitest';
import {
  CLOCK_CONFIRM_MS_MAX,
  CLOCK_JUMP_MS,
  describeJump,
  firstMoment,
  nextMoment,
  timeAt,
  type EngineMoment,
} from '../../src/broker/clock-guard.ts';

const DAY = 24 * 60 * 60 * 1000;
const HOUR = DAY / 24;
const START = Date.UTC(2026, 0, 1);

/** Checks the clock every hour, with a wall clock that is off by `jump`. */
function lookFor(before: EngineMoment, ms: number, jump: number): EngineMoment {
  let moment = before;
  for (let mono = before.mono + HOUR; mono <= before.mono + ms; mono += HOUR)
    moment = nextMoment(moment, START + mono + jump, mono);
  return moment;
}

describe('the time of an engine', () => {
  test('is the wall clock when nothing is recorded, or when an operator trusts the clock', () => {
    expect(firstMoment(undefined, START, 0, false)).toEqual({ time: START, mono: 0, unconfirmed: undefined });
    expect(firstMoment(START - 40 * DAY, START, 0, true)).toEqual({ time: START, mono: 0, unconfirmed: undefined });
  });

  test('follows the wall clock after a pause that a restart explains', () => {
    expect(firstMoment(START - CLOCK_JUMP_MS, START, 0, false)).toEqual({
      time: START,
      mono: 0,
      unconfirmed: undefined,
    });
  });

  test('does not go back when the clock was set back a little', () => {
    expect(firstMoment(START + 1000, START, 0, false).time).toBe(START + 1000);
  });

  test.each([
    ['ahead', 40 * DAY],
    ['behind', -40 * DAY],
  ])(
    'continues from where it was when the clock is days %s, and follows the clock only when the jump lasts',
    (_which, jump) => {
      const first = firstMoment(START, START + jump, 0, false);
      expect(first).toMatchObject({ time: START, unconfirmed: { jumpMs: jump } });
      const before = lookFor(first, CLOCK_CONFIRM_MS_MAX - HOUR, jump);
      expect(before).toMatchObject({ time: START + CLOCK_CONFIRM_MS_MAX - HOUR, unconfirmed: { jumpMs: jump } });
      expect(lookFor(before, HOUR, jump)).toEqual({
        time: START + CLOCK_CONFIRM_MS_MAX + jump,
        mono: CLOCK_CONFIRM_MS_MAX,
        unconfirmed: undefined,
      });
    },
  );

  test('is right again as soon as a wrong clock is corrected', () => {
    const wrong = lookFor(firstMoment(START, START + 40 * DAY, 0, false), DAY, 40 * DAY);
    const right = nextMoment(wrong, START + wrong.mono + HOUR, wrong.mono + HOUR);
    expect([right.unconfirmed, timeAt(right, right.mono)]).toEqual([undefined, START + wrong.mono + HOUR]);
  });

  test('waits as long as the jump when it is short, and again when the clock is set once more', () => {
    const first = firstMoment(START, START + 5 * HOUR, 0, false);
    expect(lookFor(first, 4 * HOUR, 5 * HOUR).unconfirmed).toBeDefined();
    expect(lookFor(first, 5 * HOUR, 5 * HOUR).unconfirmed).toBeUndefined();
    const other = lookFor(lookFor(first, 4 * HOUR, 5 * HOUR), HOUR, 20 * HOUR);
    expect(other).toMatchObject({ time: START + 5 * HOUR, unconfirmed: { since: 5 * HOUR, jumpMs: 20 * HOUR } });
  });

  test('describes the jump for an operator: what waits, and for how long', () => {
    const { unconfirmed } = firstMoment(START, START + 40 * DAY, 0, false);
    expect(unconfirmed && describeJump(unconfirmed, DAY)).toMatch(
      /^the clock is 40 days ahead of the last recorded time: .* for another 2 days/,
    );
  });
});

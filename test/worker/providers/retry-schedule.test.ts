// The wait before a second attempt: bounded, spread out, and never shorter than the server requires.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  parseRetryAfter,
  retryDelayMs,
  type FailedAttempt,
} from '../../../src/worker/providers/upstream/retry-schedule.ts';
import { DEFAULT_UPSTREAM_LIMITS as LIMITS } from '../../../src/worker/providers/upstream/upstream-limits.ts';

const failed = (more: Partial<FailedAttempt>): FailedAttempt => ({
  attempts: 1,
  elapsedMs: 0,
  retryAfterMs: undefined,
  dice: 0.5,
  ...more,
});

describe('the delay', () => {
  it('doubles with each attempt, up to its cap', () => {
    const many = { ...LIMITS, attemptsMax: 10 };
    const delays = [1, 2, 3, 4, 5, 6, 7].map((attempts) => retryDelayMs(failed({ attempts, dice: 0.5 }), many));
    expect(delays).toEqual([250, 500, 1000, 2000, 4000, 4000, 4000]);
  });

  it('is spread between nothing and its ceiling', () => {
    expect(retryDelayMs(failed({ dice: 0 }), LIMITS)).toBe(0);
    expect(retryDelayMs(failed({ dice: 0.999 }), LIMITS)).toBeCloseTo(499.5);
  });

  it('ends with the attempts', () => {
    expect(retryDelayMs(failed({ attempts: LIMITS.attemptsMax - 1 }), LIMITS)).toBeDefined();
    expect(retryDelayMs(failed({ attempts: LIMITS.attemptsMax }), LIMITS)).toBeUndefined();
  });

  it('is never shorter than the server requires, and not the same for all', () => {
    expect(retryDelayMs(failed({ retryAfterMs: 3000, dice: 0 }), LIMITS)).toBe(3000);
    expect(retryDelayMs(failed({ retryAfterMs: 3000, dice: 0.5 }), LIMITS)).toBe(3250);
  });

  it('ends when the server requires more time than a user has', () => {
    expect(retryDelayMs(failed({ retryAfterMs: LIMITS.retryWindowMs + 1 }), LIMITS)).toBeUndefined();
  });

  it('never leads out of the window', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9 }),
        fc.nat(60_000),
        fc.option(fc.nat(60_000), { nil: undefined }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (attempts, elapsedMs, retryAfterMs, dice) => {
          const delay = retryDelayMs({ attempts, elapsedMs, retryAfterMs, dice }, LIMITS);
          if (delay === undefined) return;
          expect(delay).toBeGreaterThanOrEqual(retryAfterMs ?? 0);
          expect(elapsedMs + delay).toBeLessThanOrEqual(LIMITS.retryWindowMs);
          expect(attempts).toBeLessThan(LIMITS.attemptsMax);
        },
      ),
    );
  });
});

describe('Retry-After', () => {
  const now = Date.UTC(2026, 0, 1, 12, 0, 0);

  it.each([
    ['0', 0],
    ['7', 7000],
    ['Thu, 01 Jan 2026 12:00:05 GMT', 5000],
    ['Thursday, 01-Jan-26 12:00:05 GMT', 5000],
    ['Thu, 01 Jan 2026 11:00:00 GMT', 0],
  ])('%s', (header, ms) => {
    expect(parseRetryAfter(header, now)).toBe(ms);
  });

  it.each([
    '',
    '-1',
    '1.5',
    'soon',
    'apples 7',
    '1e9',
    '99999999999',
    'Thu, 99 Foo 2026 12:00:05 GMT',
    '2026-01-01T12:00:05Z',
  ])('that is none: %s', (header) => {
    expect(parseRetryAfter(header, now)).toBeUndefined();
  });
});

// The waits between attempts, in numbers.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { askedWaitMs, BACK_OFF_CAP_MS, backOffMs, parseRetryAfter } from '../../src/client/http/back-off.ts';

const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe('the back-off', () => {
  it('spreads over the whole range, which doubles up to the cap', () => {
    expect([1, 2, 3, 7, 8, 60].map((failures) => backOffMs(failures, 0.999_999))).toEqual([
      249, 499, 999, 15_999, 19_999, 19_999,
    ]);
    expect(backOffMs(5, 0)).toBe(0);
    expect(backOffMs(3, 0.5)).toBe(500);
  });

  it('never exceeds the cap, for any base from the server', () => {
    fc.assert(
      fc.property(fc.nat(), random, fc.nat({ max: 1e9 }), (failures, chance, base) => {
        const ms = backOffMs(failures, chance, base);
        expect(ms).toBeGreaterThanOrEqual(0);
        expect(ms).toBeLessThan(BACK_OFF_CAP_MS);
      }),
    );
  });

  it('starts from the base that the server gave', () => {
    expect(backOffMs(1, 0.5, 3_000)).toBe(1_500);
  });

  it('waits at least as long as the server requires, up to a bound', () => {
    fc.assert(fc.property(fc.nat({ max: 300_000 }), random, (asked, chance) => askedWaitMs(asked, chance) >= asked));
    expect(askedWaitMs(1e12, 0)).toBe(300_000);
    expect(askedWaitMs(0, 0.9)).toBe(0);
  });

  it('reads Retry-After as seconds or as a date', () => {
    const now = Date.parse('2026-01-01T00:00:00Z');
    expect(parseRetryAfter('2', now)).toBe(2_000);
    expect(parseRetryAfter('Thu, 01 Jan 2026 00:00:05 GMT', now)).toBe(5_000);
    expect(parseRetryAfter('Wed, 31 Dec 2025 00:00:00 GMT', now)).toBe(0);
    expect(parseRetryAfter('soon', now)).toBeUndefined();
    expect(parseRetryAfter(null, now)).toBeUndefined();
  });
});

// The system's clock where the platform's own timers do not do what they seem to.
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';

const DAY_MS = 24 * 60 * 60 * 1000;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it('a timer of sixty days fires after sixty days, once', () => {
  let fired = 0;
  systemClock.after(60 * DAY_MS, () => (fired += 1));
  vi.advanceTimersByTime(60 * DAY_MS - 1);
  expect(fired).toBe(0);
  vi.advanceTimersByTime(1);
  expect(fired).toBe(1);
  vi.advanceTimersByTime(365 * DAY_MS);
  expect(fired).toBe(1);
});

it('and can be cancelled at any time', () => {
  let fired = 0;
  const timer = systemClock.after(60 * DAY_MS, () => (fired += 1));
  vi.advanceTimersByTime(40 * DAY_MS);
  timer.cancel();
  vi.advanceTimersByTime(365 * DAY_MS);
  expect([fired, vi.getTimerCount()]).toEqual([0, 0]);
});

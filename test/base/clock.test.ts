// The system's clock, where it corrects the platform's timers.
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';

const DAY_MS = 24 * 60 * 60 * 1000;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it('systemClock fires a timer of sixty days after sixty days, once', () => {
  let fired = 0;
  systemClock.after(60 * DAY_MS, () => (fired += 1));
  vi.advanceTimersByTime(60 * DAY_MS - 1);
  expect(fired).toBe(0);
  vi.advanceTimersByTime(1);
  expect(fired).toBe(1);
  vi.advanceTimersByTime(365 * DAY_MS);
  expect(fired).toBe(1);
});

it('systemClock cancels a timer of sixty days at any time', () => {
  let fired = 0;
  const timer = systemClock.after(60 * DAY_MS, () => (fired += 1));
  vi.advanceTimersByTime(40 * DAY_MS);
  timer.cancel();
  vi.advanceTimersByTime(365 * DAY_MS);
  expect([fired, vi.getTimerCount()]).toEqual([0, 0]);
});

it('systemClock fires a timer whose time has passed, without the platform seeing a negative timeout', () => {
  const platform = vi.spyOn(globalThis, 'setTimeout');
  let fired = 0;
  systemClock.after(-5, () => (fired += 1));
  expect(platform.mock.calls.map(([, ms]) => ms)).toEqual([0]);
  vi.advanceTimersByTime(0);
  expect(fired).toBe(1);
});

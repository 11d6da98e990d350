// Which attempts of a run count against its limit of attempts.
import { describe, expect, it } from 'vitest';
import {
  BLOCKED_WORKERS_MAX,
  countBlocked,
  countStart,
  IDLE_ATTEMPTS_MAX,
  judgeAttempts,
  pauseBeforeStart,
  type AttemptCount,
} from '../../src/session/commands/attempts.ts';

/** A run with one attempt per letter: in an `i` attempt the model said nothing, in an `s` attempt it said something.
 *  The last attempt has just begun. */
function started(earlier: string): AttemptCount {
  return Array.from(earlier).reduce<AttemptCount>((run, one) => ({ ...run, ...countStart(run, one === 'i') }), {
    attempt: 1,
  });
}

describe('the attempts of a run', () => {
  it.each([
    ['', 1, 'go-on'],
    ['s', 1, 'worker-lost'],
    ['s', 2, 'go-on'],
    ['i'.repeat(15), 1, 'go-on'],
    ['i'.repeat(IDLE_ATTEMPTS_MAX), 1, 'go-on'],
    ['i'.repeat(IDLE_ATTEMPTS_MAX + 1), 100, 'worker-lost'],
    ['sisis', 4, 'go-on'],
    ['sisis', 3, 'worker-lost'],
  ] as const)('%j with at most %i that count: %s', (earlier, attemptsMax, verdict) => {
    expect(judgeAttempts(started(earlier), attemptsMax)).toBe(verdict);
  });

  it('end when the run has blocked BLOCKED_WORKERS_MAX workers, and count each worker once', () => {
    let run = started('ss');
    for (let worker = 1; worker <= BLOCKED_WORKERS_MAX; worker += 1) {
      expect(judgeAttempts(run, 5)).toBe('go-on');
      for (let step = 0; step < 3; step += 1) run = { ...run, ...countBlocked(run, worker) };
    }
    expect(judgeAttempts(run, 5)).toBe('worker-blocked');
  });

  it('wait longer each time when several in a row said nothing', () => {
    const pauses = Array.from({ length: 12 }, (_, idle) => pauseBeforeStart(started('i'.repeat(idle))));
    expect(pauses.slice(0, 3)).toEqual([0, 0, 0]);
    expect(pauses.slice(3)).toEqual([250, 500, 1000, 2000, 4000, 5000, 5000, 5000, 5000]);
    expect(pauseBeforeStart(started('ssssssss'))).toBe(0);
  });
});

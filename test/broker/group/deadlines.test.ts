// Many deadlines on one timer fire like as many timers.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SLICE_LIMITS } from '../../../src/base/turn-slice.ts';
import { Deadlines } from '../../../src/broker/group/deadlines.ts';
import { ManualClock } from '../../support/manual-clock.ts';

describe('Deadlines', () => {
  test('fires in order, each deadline at its own time, on one timer', async () => {
    const clock = new ManualClock();
    const fired: (readonly [string, number])[] = [];
    const start = clock.mono();
    const deadlines = new Deadlines<string>(clock, (key) => fired.push([key, clock.mono() - start]));
    for (const [key, at] of [
      ['c', 30],
      ['a', 10],
      ['d', 40],
      ['b', 20],
    ] as const)
      deadlines.set(key, start + at);
    expect(clock.timers).toBe(1);
    await clock.advance(100);
    expect(fired).toEqual([
      ['a', 10],
      ['b', 20],
      ['c', 30],
      ['d', 40],
    ]);
    expect(clock.timers).toBe(0);
  });

  test('fires a deadline on time when it is beyond the longest timeout of the platform', async () => {
    const clock = new ManualClock();
    const fired: string[] = [];
    const deadlines = new Deadlines<string>(clock, (key) => fired.push(key));
    const month = 30 * 24 * 60 * 60 * 1000;
    deadlines.set('month', clock.mono() + month);
    await clock.advance(month - 1);
    expect(fired).toEqual([]);
    await clock.advance(1);
    expect(fired).toEqual(['month']);
  });

  test('fires many deadlines of one moment in slices, each once and at that moment', async () => {
    const clock = new ManualClock();
    const fired = new Map<number, number>();
    const at = clock.mono() + 10;
    let timers = 0;
    const after = clock.after.bind(clock);
    clock.after = (ms, callback) =>
      after(ms, () => {
        timers += 1;
        callback();
      });
    const deadlines = new Deadlines<number>(clock, (key) => fired.set(key, clock.mono()));
    const count = 2.5 * SLICE_LIMITS.sliceItems;
    for (let key = 0; key < count; key++) deadlines.set(key, at);
    await clock.advance(10);
    expect([timers, fired.size]).toEqual([3, count]);
    expect([...fired.values()].every((firedAt) => firedAt === at)).toBe(true);
  });

  test('accepts new deadlines and deletions while it fires', async () => {
    const clock = new ManualClock();
    const fired: string[] = [];
    const deadlines = new Deadlines<string>(clock, (key) => {
      fired.push(key);
      if (fired.length < 5) deadlines.set(key, clock.mono() + 10);
      deadlines.delete('never');
    });
    deadlines.set('again', clock.mono() + 10);
    deadlines.set('never', clock.mono() + 11);
    await clock.advance(100);
    expect(fired).toEqual(Array<string>(5).fill('again'));
  });

  test('fires nothing after a clear', async () => {
    const clock = new ManualClock();
    const deadlines = new Deadlines<string>(clock, () => expect.unreachable());
    deadlines.set('a', clock.mono() + 10);
    deadlines.clear();
    await clock.advance(20);
    expect(clock.timers).toBe(0);
  });

  test('fires like one timer for each key, under any sequence of settings, deletions and passing time', async () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('set' as const), key: fc.nat({ max: 5 }), in: fc.nat({ max: 50 }) }),
      fc.record({ kind: fc.constant('delete' as const), key: fc.nat({ max: 5 }) }),
      fc.record({ kind: fc.constant('pass' as const), ms: fc.nat({ max: 40 }) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 150, size: 'max' }), async (steps) => {
        const clock = new ManualClock();
        const expected = new Map<number, number>();
        const fired: (readonly [number, number])[] = [];
        const deadlines = new Deadlines<number>(clock, (key) => fired.push([clock.mono(), key]));
        const wanted: (readonly [number, number])[] = [];
        for (const one of steps) {
          if (one.kind === 'set') {
            deadlines.set(one.key, clock.mono() + one.in);
            expected.set(one.key, clock.mono() + one.in);
          } else if (one.kind === 'delete') {
            deadlines.delete(one.key);
            expected.delete(one.key);
          } else {
            const due = [...expected].filter(([, at]) => at <= clock.mono() + one.ms);
            wanted.push(...due.map(([key, at]) => [at, key] as const));
            for (const [key] of due) expected.delete(key);
            await clock.advance(one.ms);
          }
          for (const [key, at] of expected) expect(deadlines.get(key)).toBe(at);
          const sorted = (pairs: readonly (readonly [number, number])[]): string[] =>
            pairs.map(([at, key]) => `${at} ${key}`).toSorted();
          expect(sorted(fired)).toEqual(sorted(wanted));
        }
      }),
      { numRuns: 50 },
    );
  });
});

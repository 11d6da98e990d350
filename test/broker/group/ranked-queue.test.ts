// The queue that knows ranks, against an array.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RankedQueue, type Place } from '../../../src/broker/group/ranked-queue.ts';

/** Steps of hundreds of items, so that whole blocks fill and become empty. */
const STEP = fc.record({
  kind: fc.constantFrom('add', 'add', 'take', 'delete'),
  count: fc.integer({ min: 1, max: 400 }),
  at: fc.double({ min: 0, max: 0.999, noNaN: true }),
});

describe('RankedQueue', () => {
  test('behaves like an array, and ranks like its indexes', () => {
    fc.assert(
      fc.property(fc.array(STEP, { maxLength: 30, size: 'max' }), (steps) => {
        const queue = new RankedQueue<number>();
        let model: Place<number>[] = [];
        let items = 0;
        for (const { kind, count, at } of steps) {
          if (kind === 'add') for (let i = 0; i < count; i += 1) model.push(queue.add((items += 1)));
          const from = kind === 'delete' ? Math.floor(at * model.length) : 0;
          const gone = kind === 'add' ? [] : model.slice(from, from + count);
          for (const place of gone) {
            if (kind === 'take') expect(queue.first()).toBe(place.item);
            queue.delete(place);
            queue.delete(place);
          }
          model = model.filter((place) => !gone.includes(place));
          expect(queue.length).toBe(model.length);
          expect(queue.first()).toBe(model[0]?.item);
          for (const i of [0, Math.floor(at * model.length), model.length - 1]) {
            const place = model[i];
            if (place !== undefined) expect(queue.rank(place)).toBe(i);
          }
        }
      }),
      { numRuns: 50 },
    );
  });
});

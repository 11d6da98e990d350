// A page of names is the same however small the slices are in which it is found.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { TurnSlice } from '../../../src/base/turn-slice.ts';
import { firstNames } from '../../../src/broker/memory/first-names.ts';
import { countTurns } from '../../support/count-turns.ts';

const still = { mono: () => 0 };

test('the first names of a page are the first of all in order, in slices of any size', async () => {
  const name = fc.string({ minLength: 1, maxLength: 2, unit: fc.constantFrom('a', 'b', 'c', 'd') });
  const page = fc.record({ after: fc.option(name, { nil: undefined }), count: fc.integer({ min: 1, max: 5 }) });
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(name), page, fc.integer({ min: 1, max: 4 }), async (names, one, sliceItems) => {
      const matches = (text: string): boolean => !text.endsWith('d');
      const slice = new TurnSlice(still, { sliceItems, sliceMs: 1 });
      const expected = names.filter((text) => matches(text) && text > (one.after ?? '')).sort();
      expect(await firstNames(new Set(names), { ...one, matches }, slice)).toEqual(expected.slice(0, one.count));
    }),
  );
});

test('a page of names takes a turn for each slice', async () => {
  const names = Array.from({ length: 20 }, (_, i) => `${i}`);
  const counted = countTurns();
  const slice = new TurnSlice(still, { sliceItems: 2, sliceMs: 1 });
  await firstNames(names, { after: undefined, count: 3, matches: () => true }, slice);
  expect(counted.turns).toBeGreaterThanOrEqual(9);
});

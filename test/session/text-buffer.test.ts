// A text buffer holds the appended text, character for character, with narrow, wide and broken characters.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { TextBuffer } from '../../src/session/events/text-buffer.ts';

/** Characters of one byte each. */
const narrow = { unit: fc.nat(255).map((code) => String.fromCharCode(code)) };
/** Includes halves of surrogate pairs, and texts short and long enough for both ways of copying. */
const text = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.oneof(fc.string(narrow), fc.string({ ...narrow, minLength: 40, maxLength: 3000, size: 'max' })),
  },
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'binary', minLength: 40, maxLength: 3000, size: 'max' }),
  fc.constantFrom('\ud83d', '\ude00', '€', 'ÿ', 'Ā', ''),
);
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ append: text }) },
  { weight: 1, arbitrary: fc.record({ keep: fc.nat(9000) }) },
);

it('a text buffer › holds the text that a string would hold', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const buffer = new TextBuffer();
      let expected = '';
      for (const one of steps) {
        if ('append' in one) {
          buffer.append(one.append);
          expected += one.append;
        } else {
          buffer.truncate(one.keep);
          expected = expected.slice(0, one.keep);
        }
        expect(buffer.length).toBe(expected.length);
      }
      expect(buffer.toString()).toBe(expected);
    }),
  );
});

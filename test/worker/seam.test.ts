// The join of an answer and its continuation: text that the model repeats is cut away, other text never is, and a join
// in doubt is refused.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BrokenSeamError, ECHO_CHARS_MIN, LEADING_SPACE_MAX, Seam } from '../../src/worker/run/seam.ts';

const BROKEN = Symbol('broken');

/** What a reader holds at the end, behind the retained prefix. */
function joined(stood: string, pieces: readonly string[]): string | typeof BROKEN {
  const kept = stood.trimEnd();
  const seam = new Seam(kept, stood.slice(kept.length));
  try {
    return kept + pieces.map((piece) => seam.push(piece)).join('') + seam.end();
  } catch (error) {
    if (error instanceof BrokenSeamError) return BROKEN;
    throw error;
  }
}

function cutInto(text: string, cuts: readonly number[]): string[] {
  const places = [...new Set(cuts.map((cut) => cut % (text.length + 1)))].sort((a, b) => a - b);
  return [0, ...places].map((start, index) => text.slice(start, places[index]));
}

const LONG = 'It was a bright cold day in April, and the clocks were striking';

describe('a continuation', () => {
  it.each([
    ['of a word', 'Hel', ['lo', ' you'], 'Hello you'],
    ['that brings its own space', 'Hello', [' you'], 'Hello you'],
    ['behind a space that it brings too', 'Hello ', [' you'], 'Hello you'],
    ['behind a space that it lost', 'Hello ', ['you'], 'Hello you'],
    ['behind a space where it wants a paragraph', 'Hello ', ['\n\n', 'You'], 'Hello\n\nYou'],
    ['of nothing', 'Hello. \n', [], 'Hello. \n'],
    ['with the whole repeated', `${LONG} `, [`${LONG} thirteen.`], `${LONG} thirteen.`],
    ['with the whole repeated, word by word', LONG, [...LONG.split(/(?= )/), ' thirteen.'], `${LONG} thirteen.`],
    ['with the whole repeated, and the space lost', `${LONG}\n`, [LONG, '', 'Thirteen.'], `${LONG}\nThirteen.`],
    ['with the whole repeated and no more', LONG, [LONG], LONG],
    ['with the whole repeated, its leading space too', `\n${LONG}`, [`\n${LONG}!`], `\n${LONG}!`],
    ['that begins like the answer', 'The cat and', [' the', ' dog'], 'The cat and the dog'],
    ['that begins with the words of the answer', 'The cat. ', ['The', ' dog.'], 'The cat. The dog.'],
    ['of a long row', `${'='.repeat(10)}\n`, ['\n', 'a'], `${'='.repeat(10)}\na`],
    [
      'that is first of all space',
      'a',
      [' '.repeat(LEADING_SPACE_MAX), ' ', ' b'],
      `a${' '.repeat(LEADING_SPACE_MAX + 2)}b`,
    ],
  ])('%s', (_what, stood, pieces, whole) => {
    expect(joined(stood, pieces)).toBe(whole);
  });

  it.each([
    ['begins another answer alike', LONG, `${LONG.slice(0, 50)} of another answer`],
    ['begins anew and ends early', LONG, LONG.slice(0, 50)],
    ['begins anew behind white space', LONG, `\n${LONG} thirteen.`],
    ['may be a short repetition as well as more of the same', '1', '1'],
    ['may go on with a short row as well as repeat it', '----', '--------|'],
  ])('that %s is not trusted', (_what, stood, said) => {
    expect(joined(stood, [said])).toBe(BROKEN);
  });

  it('is emitted as soon as it is no repetition, and from then on at once', () => {
    const seam = new Seam(LONG, '');
    expect([seam.push('It'), seam.isJoined]).toEqual(['', false]);
    expect([seam.push(' is'), seam.isJoined]).toEqual(['It is', true]);
    expect(seam.push(LONG)).toBe(LONG);
  });
});

it('white space alone is held back only for a limited length', () => {
  const seam = new Seam(LONG, '');
  expect(seam.push(' '.repeat(LEADING_SPACE_MAX))).toBe('');
  expect([seam.push(' '), seam.isJoined]).toEqual([' '.repeat(LEADING_SPACE_MAX + 1), true]);
});

describe('any text, cut anywhere', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', ' ', '\n', 'é', '😀'), maxLength: 80 });
  const stood = text.filter((one) => one.trim() !== '');
  const cuts = fc.array(fc.nat(), { maxLength: 20 });

  it('is joined the same', () => {
    fc.assert(
      fc.property(stood, text, fc.boolean(), cuts, (before, after, isRepeated, places) => {
        const said = (isRepeated ? before.trimEnd() : '') + after;
        expect(joined(before, cutInto(said, places))).toBe(joined(before, [said]));
      }),
      { numRuns: 1000 },
    );
  });

  it('loses nothing but a whole repetition, and gains nothing but the space of the prefix', () => {
    fc.assert(
      fc.property(stood, text, fc.boolean(), cuts, (before, after, isRepeated, places) => {
        const kept = before.trimEnd();
        const said = (isRepeated ? kept : '') + after;
        const whole = joined(before, cutInto(said, places));
        if (whole === BROKEN) return;
        const isEcho = kept.trimStart().length >= ECHO_CHARS_MIN && said.startsWith(kept);
        const rest = isEcho ? said.slice(kept.length) : said;
        expect([kept + rest, before + rest]).toContain(whole);
      }),
      { numRuns: 1000 },
    );
  });

  it('that does not begin like the prefix is always accepted', () => {
    fc.assert(
      fc.property(stood, text, cuts, (before, after, places) => {
        const said = `c${after}`;
        expect(joined(before, cutInto(said, places))).toBe(before + said);
      }),
    );
  });
});

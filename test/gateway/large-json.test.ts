// JSON that is parsed in slices has the value that JSON.parse gives, or the same refusal, wherever its pieces end.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { boundExceeded } from '../../src/gateway/json/json-bounds.ts';
import { LargeJson } from '../../src/gateway/json/large-json.ts';
import { decodeUtf8, parseJson } from '../../src/gateway/json/parse-json.ts';
import { ManualClock } from '../support/manual-clock.ts';

const VALUES_MAX = 60;

/** What the parser of small texts says, with the order of the names, which toEqual does not compare. */
function asSmall(text: string): unknown {
  const bound = boundExceeded(text, VALUES_MAX);
  if (bound !== undefined) return { kind: 'exceeded', bound };
  const parsed = parseJson(text, VALUES_MAX);
  if (parsed === undefined) return { kind: 'malformed' };
  return { kind: 'value', value: parsed.value, json: JSON.stringify(parsed.value) };
}

async function inPieces(text: string, pieceChars: number): Promise<unknown> {
  const parsed = await new LargeJson(new ManualClock(), pieceChars).parseText(text, VALUES_MAX);
  switch (parsed.kind) {
    case 'value':
      return { kind: 'value', value: parsed.value, json: JSON.stringify(parsed.value) };
    case 'exceeded':
      return { kind: 'exceeded', bound: parsed.bound };
    case 'malformed':
      return { kind: 'malformed' };
  }
}

const blank = fc.stringMatching(/^[ \t\n\r]{0,4}$/);
/** Few names, so that objects have one name twice; some that set a prototype, or are numbers. */
const name = fc.oneof(
  fc.constantFrom('"a"', '"b"', '"1"', '"0"', '""', '"__proto__"', '"constructor"', '"prototype"', '"\\u005f_proto__"'),
  fc.string({ maxLength: 12 }).map((text) => JSON.stringify(text)),
);
const scalar = fc.oneof(
  fc.constantFrom(
    '0',
    '-0',
    '1e400',
    '-1.5E-7',
    '12345678901234567890',
    'true',
    'null',
    '"\\ud800"',
    '"\\ud83d\\ude00"',
  ),
  fc.string({ unit: 'binary', maxLength: 30 }).map((text) => JSON.stringify(text)),
  fc
    .string({ unit: fc.constantFrom('\\\\', '\\"', '\\n', '\\u00e9', 'x', '語', '😀'), maxLength: 30 })
    .map((text) => `"${text}"`),
);
const { json } = fc.letrec<{ json: string }>((tie) => ({
  json: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    scalar,
    fc
      .array(fc.tuple(blank, tie('json'), blank), { maxLength: 6 })
      .map((members) => `[${members.map((parts) => parts.join('')).join(',')}]`),
    fc
      .array(fc.tuple(blank, name, blank, fc.constant(':'), blank, tie('json'), blank), { maxLength: 6 })
      .map((members) => `{${members.map((parts) => parts.join('')).join(',')}}`),
  ),
}));
const pieces = fc.integer({ min: 1, max: 40 });

describe('JSON that is parsed in slices', () => {
  it.each([
    '[[1,2,3] [4,5,6]]',
    '[[1,2,3],[4,5,6],]',
    '[,[1,2,3]]',
    '[[1,2,3]}',
    '{"a":[1,2,3] "b":[4,5,6]}',
    '{"a":[1,2,3] [4,5,6]}',
    '{[1,2,3]:4}',
    '{"a"::[1,2,3]}',
    '{1:[1,2,3]}',
    '["aaaaaaaa" "bbbbbbbb"]',
    '{"aaaaaaaa" "bbbbbbbb":1}',
    '{"aaaaaaaa":"bbbbbbbb" "c":1}',
    '{"aaaaaaaa":"bbbbbbbb":1}',
    '{"aaaaaaaa":}',
    '{"aaaaaaaa"}',
    '{"a","bbbbbbbb":1}',
    '"aaaaaaaa""bbbbbbbb"',
    '"aaaaaaaa\\u00',
    '[1,2,3] [4,5,6]',
    '[1,2,3],[4,5,6]',
    '[1,2,3]]',
    '\u00a0[1,2,3]',
  ])('refuses %s', async (text) => {
    for (let pieceChars = 1; pieceChars <= text.length; pieceChars += 1)
      expect(await inPieces(text, pieceChars)).toEqual({ kind: 'malformed' });
  });

  it.each([
    ['UTF-8 that a slice could cut', Buffer.from(JSON.stringify('a😀語é'.repeat(80_000)))],
    ['a byte order mark', Buffer.from('\uFEFF{"a":1}')],
    ['two byte order marks', Buffer.from('\uFEFF\uFEFF[]')],
    ['a byte order mark inside', Buffer.from('[\uFEFF]')],
    ['bytes that are not UTF-8', Buffer.from([0x22, 0xc3, 0x22])],
    ['half a character at its end', Buffer.from([0x22, 0xe8, 0xaa])],
    ['no byte', Buffer.alloc(0)],
  ])('reads %s as small JSON is read', async (_what, bytes) => {
    const parsed = await new LargeJson(new ManualClock()).parseBytes(bytes, VALUES_MAX);
    const text = decodeUtf8(bytes);
    const small = text === undefined ? undefined : parseJson(text, VALUES_MAX);
    expect(parsed.kind === 'value' ? { value: parsed.value } : undefined).toEqual(small);
  });

  it('has the value of JSON.parse, wherever its pieces end', async () => {
    await fc.assert(
      fc.asyncProperty(fc.tuple(blank, json, blank), pieces, async (parts, pieceChars) => {
        const text = parts.join('');
        expect(await inPieces(text, pieceChars)).toEqual(asSmall(text));
      }),
      { numRuns: 1500 },
    );
  });

  it('is refused as small JSON is, where characters of it are lost, changed or doubled', async () => {
    const wrong = fc.constantFrom('', ',', ':', '"', '\\', '[', ']', '{', '}', '0', 'a', ' ', '\u00a0', '\uFEFF', '\n');
    await fc.assert(
      fc.asyncProperty(
        json,
        fc.array(fc.tuple(fc.nat(), fc.nat({ max: 3 }), wrong), { minLength: 1, maxLength: 3 }),
        pieces,
        async (whole, edits, pieceChars) => {
          const text = edits.reduce((before, [at, lost, put]) => {
            const from = at % (before.length + 1);
            return before.slice(0, from) + put + before.slice(from + lost);
          }, whole);
          expect(await inPieces(text, pieceChars)).toEqual(asSmall(text));
        },
      ),
      { numRuns: 3000 },
    );
  });
});

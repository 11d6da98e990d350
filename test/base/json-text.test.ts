// The JSON of a large value in pieces, and its size from below.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { jsonBytesAtLeast, jsonPieces } from '../../src/base/json-text.ts';

/** More than one piece. */
const LONG = 'é"\\\n'.repeat(30_000);

function parsed(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

it('is the text of JSON.stringify, however it is divided', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 5 }), fc.jsonValue(), (one, other) => {
      for (const value of [one, [LONG, one, other], { a: [{ b: [one, { c: LONG }] }], d: other, [LONG]: one }])
        expect([...jsonPieces(value)].join('')).toBe(JSON.stringify(value));
    }),
  );
});

it('leaves out what JSON.stringify leaves out', () => {
  const value = { a: undefined, long: LONG, list: [undefined, LONG], empty: [[], {}] };
  expect([...jsonPieces(value)].join('')).toBe(JSON.stringify(value));
});

it('divides long lists and objects', () => {
  const messages = Array.from({ length: 40 }, () => ({ content: LONG }));
  const pieces = [...jsonPieces(['POST', { messages }])];
  expect(pieces.length).toBeGreaterThanOrEqual(messages.length);
  expect(Math.max(...pieces.map((piece) => piece.length))).toBeLessThan(2 * JSON.stringify(messages[0]).length);
});

it('has a size from below that is never above its own', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
      expect(jsonBytesAtLeast(parsed(value))).toBeLessThanOrEqual(Buffer.byteLength(JSON.stringify(value)));
    }),
  );
  expect(jsonBytesAtLeast([{ text: LONG }, LONG])).toBe(2 * LONG.length);
});

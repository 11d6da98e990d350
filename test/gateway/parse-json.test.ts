// JSON from outside: what the parser accepts and refuses, and that the search for duplicate names agrees with a parser.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { JSON_DEPTH_MAX } from '../../src/gateway/json/json-bounds.ts';
import { decodeUtf8, hasDuplicateNames, parseJson } from '../../src/gateway/json/parse-json.ts';

describe('parseJson', () => {
  it('accepts the output of JSON.stringify unchanged', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 8 }), (value) => {
        const text = JSON.stringify(value);
        fc.pre(!text.includes('__proto__') && !text.includes('constructor'));
        expect(parseJson(text)?.value).toEqual(JSON.parse(text));
      }),
    );
  });

  it('accepts a structure as deep as its limit, and none deeper', () => {
    const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
    expect(parseJson(nested(JSON_DEPTH_MAX))).toBeDefined();
    expect(parseJson(nested(JSON_DEPTH_MAX + 1))).toBeUndefined();
    expect(parseJson(nested(200_000))).toBeUndefined();
  });

  it.each([
    '',
    ' ',
    '{',
    'undefined',
    "{'a':1}",
    '{"a":1,}',
    '{"a":1}x',
    '\u0000',
    '{"__proto__":1}',
    '{"a":{"__proto__":{}}}',
    '{"constructor":{"prototype":1}}',
  ])('refuses %j', (text) => {
    expect(parseJson(text)).toBeUndefined();
  });
});

describe('hasDuplicateNames', () => {
  it('finds none in the JSON of an object', () => {
    fc.assert(fc.property(fc.jsonValue(), (value) => !hasDuplicateNames(JSON.stringify(value))));
    fc.assert(fc.property(fc.jsonValue(), (value) => !hasDuplicateNames(JSON.stringify(value, undefined, 2))));
  });

  it('finds a duplicate name at every depth and in every spelling', () => {
    const name = fc.string({ unit: 'binary', maxLength: 6 });
    fc.assert(
      fc.property(name, fc.jsonValue(), fc.jsonValue(), fc.boolean(), (twice, a, b, nested) => {
        const units = Array.from(
          { length: twice.length },
          (_, i) => `\\u${twice.charCodeAt(i).toString(16).padStart(4, '0')}`,
        );
        const escaped = `"${units.join('')}"`;
        const object = `{${JSON.stringify(twice)} : ${JSON.stringify(a)}, "between\\"{": [{}], ${escaped}: ${JSON.stringify(b)}}`;
        fc.pre(twice !== 'between"{');
        expect(hasDuplicateNames(nested ? `[1, {"x": ${object}}]` : object)).toBe(true);
      }),
    );
  });

  it.each(['{"a":{"a":1}}', '[{"a":1},{"a":2}]', '{"a":"a","b":"a"}', '{"a":["a","a"]}', '{"a":1,"A":2}'])(
    'allows the same name in different objects: %s',
    (json) => {
      expect(hasDuplicateNames(json)).toBe(false);
    },
  );
});

it('decodeUtf8 accepts UTF-8, drops a byte order mark, and refuses other bytes', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => decodeUtf8(Buffer.from(`x${text}`)) === `x${text}`));
  expect(decodeUtf8(Buffer.from('\ufeff{}'))).toBe('{}');
  for (const bytes of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xe2, 0x82]])
    expect(decodeUtf8(Buffer.from(bytes))).toBeUndefined();
});

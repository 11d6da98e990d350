// Names, patterns and positions: which texts are accepted, and what they mean.
import { describe, expect, test } from 'vitest';
import { isBrokerError } from '../../src/broker/errors.ts';
import { literalPrefix, matchesPattern, parseLiteTopicName, parseTopicPattern } from '../../src/broker/lite-topic.ts';
import { encodePosition, parsePosition } from '../../src/broker/position.ts';

function accepted(parse: () => unknown): boolean {
  try {
    parse();
    return true;
  } catch (error) {
    if (isBrokerError(error, 'invalid-topic')) return false;
    throw error;
  }
}

describe('the name of a LiteTopic', () => {
  test.each([
    'chat/abc',
    'request/default/abc',
    'chat/tenant:id',
    'a/b/c/d/e/f/g/h',
    'chat/A-z_0.9',
    `chat/${'x'.repeat(315)}`,
  ])('may be %j', (name) => {
    expect(parseLiteTopicName(name)).toBe(name);
  });

  test.each([
    '',
    'chat',
    '/chat',
    'chat/',
    'chat//a',
    'chat/.',
    'chat/..',
    '../chat/a',
    'chat/a b',
    'chat/ä',
    'chat/*',
    'chat/a\n',
    'chat\\a/b',
    'chat/a%2f',
    'a/b/c/d/e/f/g/h/i',
    `chat/${'x'.repeat(316)}`,
  ])('may not be %j', (name) => {
    expect(accepted(() => parseLiteTopicName(name))).toBe(false);
  });
});

describe('a pattern', () => {
  test.each(['*/*', 'request/*/*', 'request/x/*', '*/x', 'chat/a'])('may be %j', (pattern) => {
    expect(parseTopicPattern(pattern)).toBe(pattern);
  });

  test.each(['*', 'chat/a*', 'chat/**', '*a/b', 'chat/', 'chat/*/'])('may not be %j', (pattern) => {
    expect(accepted(() => parseTopicPattern(pattern))).toBe(false);
  });

  test('matches segment by segment', () => {
    const pattern = parseTopicPattern('request/*/b');
    const matching = ['request/a/b', 'request/b/b', 'request/a/c', 'request/b', 'request/a/b/c', 'requests/a/b'].filter(
      (name) => matchesPattern(pattern, parseLiteTopicName(name)),
    );
    expect(matching).toEqual(['request/a/b', 'request/b/b']);
  });

  test('has as its literal prefix the part before its first wildcard', () => {
    expect(['request/*/b', '*/b', 'chat/a'].map((text) => literalPrefix(parseTopicPattern(text)))).toEqual([
      'request/',
      '',
      'chat/a',
    ]);
  });
});

describe('a position', () => {
  test.each([
    { epoch: 'e', offset: 0 },
    { epoch: 'A-z_9', offset: 12 },
    { epoch: 'x'.repeat(40), offset: 999_999_999_999_999 },
  ])('%j is read as it was written', (position) => {
    expect(parsePosition(encodePosition(position))).toEqual(position);
    expect(encodePosition(position).length).toBeLessThan(64);
  });

  test.each([
    '',
    '.',
    'e',
    'e.',
    '.1',
    'e.-1',
    'e.01',
    'e.1.2',
    'e.1 ',
    ' e.1',
    'e.1e3',
    'e.0x1',
    'ä.1',
    `e.${'9'.repeat(16)}`,
    `${'x'.repeat(41)}.1`,
  ])('is not %j', (text) => {
    expect(parsePosition(text)).toBeUndefined();
  });
});

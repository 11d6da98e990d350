import { describe, expect, it } from 'vitest';
import { isListed } from '../../src/base/entity-tag.ts';

describe('an If-None-Match', () => {
  it('names a tag as itself, as a weak tag, in a list, and by the asterisk', () => {
    for (const header of ['"a"', 'W/"a"', '"b", "a"', '"b",W/"a"', '*', ' * '])
      expect([header, isListed(header, '"a"')]).toEqual([header, true]);
  });

  it('names no other tag', () => {
    for (const header of [undefined, '', '"b"', 'a', '"a', '"b", *'])
      expect([header, isListed(header, '"a"')]).toEqual([header, false]);
  });
});

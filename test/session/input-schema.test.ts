// The check of an answer against the schema of its input: bounded by the time that it uses, and by nothing else.
import { describe, expect, it } from 'vitest';
import { findFaults, findSchemaFault } from '../../src/session/waits/input-schema.ts';

/** A value whose first reading takes real time and no CPU, as on a machine that is busy with other things. */
function stalledOnce(stallMs: number): object {
  let isStalled = true;
  return {
    get n(): number {
      if (isStalled) {
        isStalled = false;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, stallMs);
      }
      return 1;
    },
  };
}

describe('the check of an answer', () => {
  it('accepts a value that fits, although the machine was busy with other things', () => {
    const schema = { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] };
    expect(findFaults(schema, stalledOnce(60_000))).toEqual([]);
  });

  it('ends a pattern that backtracks without end', () => {
    const schema = { type: 'string', pattern: '^(a+)+$' };
    expect(findFaults(schema, `${'a'.repeat(60)}b`)).toEqual([
      { path: '', message: 'takes too long to check against the schema' },
    ]);
    expect(findFaults(schema, 'aaa')).toEqual([]);
  });
});

describe('the check of a schema', () => {
  const values = { $ref: 'http://elsewhere', pattern: '(' };

  it.each([
    ['enum', { enum: [values] }],
    ['const', { const: values }],
    ['default', { properties: { a: { default: values } } }],
    ['examples', { items: { examples: [values] } }],
    ['the names of properties', { properties: { pattern: { type: 'string' }, $ref: { type: 'string' } } }],
    ['properties with names of keywords', { properties: { enum: { type: 'string' } } }],
  ])('finds no fault in %s', (_where, schema) => {
    expect(findSchemaFault(schema)).toBeUndefined();
  });

  it.each([
    ['a property that is named like a keyword', { properties: { enum: values } }],
    ['a definition that is named like one', { $defs: { default: values } }],
    ['a schema in a list', { anyOf: [{ not: values }] }],
  ])('finds the fault in %s', (_where, schema) => {
    expect(findSchemaFault(schema)).toBe('a $ref points out of it');
  });
});

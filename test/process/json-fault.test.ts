// The search for a fault in JSON: for every text it agrees with the platform's parser on whether the text is JSON.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findJsonFault } from '../../src/cli/config/json-fault.ts';

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

describe('a fault in JSON', () => {
  it('is found exactly where the parser refuses the text', () => {
    const broken = fc
      .tuple(
        fc.json(),
        fc.nat(),
        fc.nat({ max: 3 }),
        fc.constantFrom('', ',', '}', ']', '"', ':', '0', '-', '.', 'e', '\\', ' ', '\n', 'null', '[', '{'),
      )
      .map(
        ([json, at, removed, put]) =>
          json.slice(0, at % (json.length + 1)) + put + json.slice((at % (json.length + 1)) + removed),
      );
    fc.assert(
      fc.property(broken, (text) => {
        const fault = findJsonFault(text);
        // It also refuses a duplicate field name, which the parser accepts.
        if (fault?.what === 'this field stands twice in its object') return;
        expect(fault === undefined, `${text}: ${fault?.what ?? 'no fault'}`).toBe(isJson(text));
      }),
      { numRuns: 1_000 },
    );
  });

  it('is found in a text of any depth', () => {
    expect(findJsonFault('['.repeat(200_000))).toMatchObject({ line: 1, column: 200_001 });
    expect(findJsonFault(`${'['.repeat(200_000)}${']'.repeat(200_000)}`)).toBeUndefined();
  });
});

// What the page makes of an input: the fields of a form, the value that is sent, and what it says.
import { describe, expect, it } from 'vitest';
import { ChatClientError } from '../../src/client/chat-client.ts';
import type { Input } from '../../src/client/chat-client.ts';
import { askedText, callText, outcomeText, refusalText } from '../../web-demo/inputs/input-text.ts';
import { fieldsOf, looseJson, valueOf } from '../../web-demo/inputs/schema-fields.ts';

const input: Input = { inputId: 'i', runId: 'r', kind: 'approval', state: 'open', leg: 0 };

const ADDRESS = {
  type: 'object',
  properties: {
    street: { type: 'string', title: 'Street', description: 'With its number' },
    floor: { type: 'integer' },
    lift: { type: 'boolean' },
    size: { enum: ['small', 'large'] },
  },
  required: ['street'],
};

describe('a flat schema', () => {
  const fields = fieldsOf(ADDRESS) ?? [];

  it('is a form with a field for each property', () => {
    expect(fields.map(({ label, kind, isRequired }) => [label, kind, isRequired])).toEqual([
      ['Street', 'text', true],
      ['floor', 'integer', false],
      ['lift', 'boolean', false],
      ['size', 'choice', false],
    ]);
    expect(fields[0]?.hint).toBe('With its number');
    expect(fields[3]?.choices).toEqual(['small', 'large']);
  });

  it('gets a value with the types that it names, without what was left empty', () => {
    const given = (...texts: readonly string[]) =>
      valueOf(fields, new Map(fields.map((field, i) => [field, texts[i] ?? ''])));
    expect(given('Main St 1', '3', 'false', 'large')).toEqual({
      street: 'Main St 1',
      floor: 3,
      lift: false,
      size: 'large',
    });
    expect(given('', '')).toEqual({ street: '' });
  });

  it('may be one field that is no object', () => {
    const one = fieldsOf({ type: 'number' }) ?? [];
    expect(valueOf(one, new Map(one.map((field) => [field, '2.5'])))).toBe(2.5);
  });

  it.each([
    ['none', undefined],
    ['a list', { type: 'array' }],
    ['an object without properties', { type: 'object' }],
    ['a nested object', { type: 'object', properties: { a: { type: 'object', properties: {} } } }],
    ['choices that are no texts', { enum: [1, 2] }],
    [
      'too many fields',
      {
        type: 'object',
        properties: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`f${i}`, { type: 'string' }])),
      },
    ],
  ])('is none: %s', (_name, schema) => {
    expect(fieldsOf(schema)).toBeUndefined();
  });
});

describe('a text box', () => {
  it('takes JSON, and other text as text', () => {
    expect([looseJson('{"a":1}'), looseJson('7'), looseJson('at home')]).toEqual([{ a: 1 }, 7, 'at home']);
  });
});

describe('an input', () => {
  it('says what it asks also without a message', () => {
    expect(askedText({ ...input, message: 'Pay?' })).toBe('Pay?');
    expect(askedText({ ...input, toolName: 'pay' })).toBe('May it call pay?');
    expect(askedText({ ...input, kind: 'tool', toolName: 'pay' })).toContain('pay');
  });

  it('says how it ended, and by whom', () => {
    const answered = (answer: object): string | undefined =>
      outcomeText({ ...input, state: 'answered', answer, answeredBy: 'ann' });
    expect(outcomeText(input)).toBeUndefined();
    expect(answered({ approved: true })).toBe('Approved by ann');
    expect(answered({ approved: false, reason: 'too dear' })).toBe('Refused by ann: too dear');
    expect(answered({ value: 'red' })).toBe('Answered by ann: red');
    expect(answered({ result: { a: 1 } })).toBe('Answered by ann: {"a":1}');
    expect(answered({ value: null })).toBe('Answered by ann: null');
    expect(answered({})).toBe('Answered by ann');
    expect(answered({ error: 'no' })).toBe('Declined by ann: no');
    expect(answered({ value: 'x'.repeat(1_000) })?.length).toBeLessThan(600);
    expect(outcomeText({ ...input, state: 'closed', closedReason: 'expired' })).toBe('Nobody answered in time');
    expect(outcomeText({ ...input, state: 'closed', closedReason: 'cancelled' })).toContain('Stopped');
  });

  it('says why an answer was not taken', () => {
    const refused = (code: string, details?: unknown): string =>
      refusalText(new ChatClientError(code, 'no', { details }));
    expect(refused('already-answered', { by: 'bob' })).toBe('bob has answered it otherwise');
    expect(refused('not-waiting')).toBe('It does not wait any more');
    expect(refused('invalid-answer', [{ path: '/value/street', message: 'must be a text' }])).toBe(
      'street must be a text',
    );
    expect(refused('network')).toBe('no');
  });
});

describe('an answer that could not be sent', () => {
  it('is not lost, and its reader is told to try again', () => {
    const error = new ChatClientError('network', 'no answer from the server', { retryable: true });
    expect(refusalText(error)).toBe('Your answer could not be sent: no answer from the server. Try again.');
  });
});

describe('a call', () => {
  it.each([
    ['waits for approval', {}, input],
    ['waits for an answer', {}, { ...input, kind: 'tool' }],
    ['not answered', {}, { ...input, state: 'closed' }],
    ['refused', {}, { ...input, state: 'answered', answer: { approved: false } }],
    ['running', {}, { ...input, state: 'answered', answer: { approved: true } }],
    ['running', {}, undefined],
    ['done', { result: null }, { ...input, state: 'answered', answer: { approved: true } }],
    ['failed', { error: 'no' }, undefined],
  ] as const)('%s', (text, outcome, about) => {
    expect(callText(outcome, about)).toBe(text);
  });
});

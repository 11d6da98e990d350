// Shown text cannot be taken back: repeated text is skipped, and different text is reported.
import { expect, it } from 'vitest';
import { ShownText } from '../../src/sdk/shown-text.ts';

const delta = (part: number, at: number, text: string, kind: 'text' | 'reasoning' | 'tool-call' = 'text') =>
  ({ type: 'delta', runId: 'r', messageId: 'm', part, kind, at, text }) as const;
const restart = (part: number, at: number) =>
  ({ type: 'run.restarted', runId: 'r', attempt: 2, part, at, createdAt: '' }) as const;

it('shown text › is the text parts of an answer, joined', () => {
  const text = new ShownText();
  expect(
    [
      delta(0, 0, 'hm', 'reasoning'),
      delta(1, 0, 'one '),
      delta(1, 4, 'two '),
      delta(2, 0, '{}', 'tool-call'),
      delta(3, 0, 'three'),
    ].map((event) => text.add(event)),
  ).toEqual(['', 'one ', 'two ', '', 'three']);
});

it('shown text › is not repeated when another attempt repeats it in other pieces, and continues with the new text', () => {
  const text = new ShownText();
  text.add(delta(0, 0, 'one two th'));
  text.restart(restart(0, 4));
  expect([text.add(delta(0, 4, 'tw')), text.add(delta(0, 6, 'o three')), text.add(delta(0, 13, ' four'))]).toEqual([
    '',
    'ree',
    ' four',
  ]);
  text.restart(restart(0, 0));
  expect([text.add(delta(0, 0, 'one two three four')), text.add(delta(0, 18, ' five'))]).toEqual(['', ' five']);
});

it('shown text › reports another attempt with different text', () => {
  const text = new ShownText();
  text.add(delta(0, 0, 'one two'));
  text.restart(restart(0, 0));
  expect(() => text.add(delta(0, 0, 'eins'))).toThrow(
    expect.objectContaining({ code: 'ask-restarted', retryable: true }),
  );
});

it('shown text › reports missing text', () => {
  const text = new ShownText();
  text.add(delta(0, 0, 'one'));
  expect(() => text.add(delta(0, 4, 'three'))).toThrow(expect.objectContaining({ code: 'ask-lost' }));
});

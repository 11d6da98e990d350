// Marks and holes: a reader that is cut at any offset of an answer and resumes receives exactly the rest of it, with
// every mix of text, parts and restarts.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AnswerBuilder, answerEvents } from '../../src/session/events/answer-builder.ts';
import type { ChatEvent, Delta } from '../../src/session/events/chat-event.ts';
import { fillHole, type FinishedAnswer } from '../../src/session/events/finished-answer.ts';
import { joinAnswer, type SeenEvent } from '../support/chat-rig.ts';

type Said = { say: string } | { part: 'text' | 'reasoning' } | { restart: number; at: number } | { other: true };

const said: fc.Arbitrary<Said> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ say: fc.string({ minLength: 1, maxLength: 5 }) }) },
  { weight: 2, arbitrary: fc.record({ part: fc.constantFrom('text' as const, 'reasoning' as const) }) },
  { weight: 1, arbitrary: fc.record({ restart: fc.nat(3), at: fc.nat(12) }) },
  { weight: 1, arbitrary: fc.constant({ other: true as const }) },
);

/** Makes the log of a run from a script: what a live reader receives, one event for each record. */
function play(script: readonly Said[]): SeenEvent[] {
  const log: SeenEvent[] = [];
  const lengths: number[] = [];
  let kind: 'text' | 'reasoning' = 'text';
  let part = -1;
  const add = (type: string, data: Record<string, unknown>): void =>
    void log.push({ offset: log.length, type, data: { runId: 'r', ...data } });
  for (const step of script) {
    if ('part' in step || part < 0) {
      part += 1;
      kind = 'part' in step ? step.part : 'text';
      lengths[part] = 0;
      add('part.started', { part, kind });
    }
    if ('say' in step) {
      add('delta', { messageId: 'm', part, kind, at: lengths[part] ?? 0, text: step.say });
      lengths[part] = (lengths[part] ?? 0) + step.say.length;
    }
    if ('other' in step) log.push({ offset: log.length, type: 'message.created', data: {} });
    if ('restart' in step) {
      const to = Math.min(step.restart, part);
      const at = Math.min(step.at, lengths[to] ?? 0);
      add('run.restarted', { part: to, at });
      lengths.length = to + 1;
      lengths[to] = at;
      // When the restart retained no text of this part, the next attempt opens a new part.
      part = at === 0 ? to - 1 : to;
    }
  }
  return log;
}

function finish(log: readonly SeenEvent[]): { builder: AnswerBuilder; answer: FinishedAnswer } {
  const builder = new AnswerBuilder();
  for (const { type, data, offset } of log) builder.apply({ type, ...data } as unknown as ChatEvent, offset);
  const parts = builder.parts().map(({ kind, text }) => ({ kind, text }));
  return { builder, answer: { runId: 'r', messageId: 'm', marks: builder.marks(), parts } };
}

/** What a reader receives after `cut` when the deltas are superseded: the records that are left, and deltas that fill
 *  the holes. */
function resume(log: readonly SeenEvent[], cut: number): SeenEvent[] {
  const { builder, answer } = finish(log);
  const ranges = builder.supersedes();
  const isGone = (offset: number): boolean => ranges.some(([from, to]) => offset >= from && offset <= to);
  const standing = log.filter((event) => event.offset > cut && !isGone(event.offset));
  const filled = ranges
    .filter(([, to]) => to > cut)
    .flatMap(([from, to]) => fillHole({ kind: 'hole', from: Math.max(from, cut + 1), to, by: log.length }, answer))
    .map(({ offset, delta }: { offset: number; delta: Delta }): SeenEvent => ({
      offset,
      type: 'delta',
      data: { ...delta },
    }));
  return [...standing, ...filled].sort((a, b) => a.offset - b.offset);
}

describe('an answer that superseded its deltas', () => {
  it('gives a reader that is cut at any offset exactly the rest of the answer', () => {
    fc.assert(
      fc.property(fc.array(said, { maxLength: 30 }), (script) => {
        const log = play(script);
        // A part without text, empty from the start or after a restart, is not shown to a reader that did not see it
        // begin.
        const join = (events: readonly SeenEvent[]): string => joinAnswer(events, 'r').replaceAll('\n', '');
        const whole = join(log);
        expect(
          finish(log)
            .answer.parts.map((part) => part.text)
            .join(''),
        ).toBe(whole);
        for (let cut = -1; cut < log.length; cut += 1) {
          expect(join([...log.slice(0, cut + 1), ...resume(log, cut)])).toBe(whole);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('is stored as several records when it is larger than one, and no record splits a character', () => {
    const text = `${'x'.repeat(64 * 1024 - 1)}😀${'y'.repeat(100_000)}`;
    const events = answerEvents('r', 'm', [{ kind: 'text', text }]);
    expect(events.length).toBeGreaterThan(2);
    expect(events.map((event) => event.text).join('')).toBe(text);
    expect(events.every((event) => event.text.isWellFormed())).toBe(true);
    let at = 0;
    for (const event of events) {
      expect(event.at).toBe(at);
      at += event.text.length;
    }
  });
});

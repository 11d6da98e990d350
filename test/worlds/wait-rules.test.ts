// The rules of runs that wait for a human, with the smallest history that keeps them and those that break them.
import { describe, expect, it } from 'vitest';
import type { Observed } from './history.ts';
import { codes, delta, events, final, connect, QUEUED, send, STARTED, type Frame } from './small-history.ts';

const CONTENT = 'count 3, asking at 1';
const ASKED = send('1', 'm1', 'e1.0', { content: CONTENT });
const MESSAGE: Frame = [0, 'message.created', { messageId: 'm1', role: 'user', content: CONTENT, user: 'u' }];
const run = { runId: 'r1' };
const times = { createdAt: '2026-01-01T00:00:00.000Z', expiresAt: '2026-01-02T00:00:00.000Z' };
const inputOf = (offset: number, inputId: string): Frame => [offset, 'input.requested', { ...run, inputId, ...times }];
const TEXT = delta(3, 0, '1 ');
const WAITING: Frame = [6, 'run.waiting', { ...run, inputs: ['i1', 'i2'], ...times }];
const FIRST: Frame = [7, 'input.answered', { ...run, inputId: 'i1', value: 'yes' }];
const SECOND: Frame = [8, 'input.closed', { ...run, inputId: 'i2', reason: 'expired', createdAt: times.expiresAt }];
const RESUMED: Frame = [9, 'run.resumed', { ...run, messageId: 'a1', leg: 1, attempt: 2 }];
const PART: Frame = [10, 'part.started', { ...run, part: 1, kind: 'text' }];
const REST = delta(11, 0, '2 3 ', { part: 1 });
const END: Frame = [12, 'run.completed', { ...run, messageId: 'a1', length: 6 }];
const WHOLE = [
  MESSAGE,
  QUEUED,
  STARTED,
  TEXT,
  inputOf(4, 'i1'),
  inputOf(5, 'i2'),
  WAITING,
  FIRST,
  SECOND,
  RESUMED,
  PART,
  REST,
  END,
];
const answer = (call: string, value = 'yes'): Observed => ({
  kind: 'answer',
  call,
  session: 's1',
  inputId: 'i1',
  value,
});
const ANSWER: readonly Observed[] = [answer('2'), { kind: 'answered', call: '2' }];

/** The whole story with another frame at the offset of this one. */
function changed(...frames: readonly Frame[]): Frame[] {
  return WHOLE.map((frame) => frames.find(([offset]) => offset === frame[0]) ?? frame);
}

const without = (...left: readonly Frame[]): Frame[] => WHOLE.filter((frame) => !left.includes(frame));

const found = (frames: readonly Frame[]): string[] => codes(ASKED, ANSWER, final(frames));

describe('a run that waits', () => {
  it('is accepted: two inputs, an answer, an expiry and another leg', () => {
    expect(found(WHOLE)).toEqual([]);
  });

  it.each<[string, readonly Frame[]]>([
    ['asks for an input twice', changed(inputOf(5, 'i1'))],
    ['waits for something else than it asked for', changed([6, 'run.waiting', { ...run, inputs: ['i1'], ...times }])],
    ['settles an input twice', changed([8, 'input.closed', { ...run, inputId: 'i1', reason: 'cancelled' }])],
    ['closes an input before its time', changed([8, 'input.closed', { ...SECOND[2], createdAt: times.createdAt }])],
    ['is answered before it waits', changed([6, ...tail(FIRST)], [7, ...tail(WAITING)])],
    ['is resumed with an open input', without(SECOND)],
    ['is resumed twice', changed([10, 'run.resumed', { ...run, messageId: 'a1', leg: 2, attempt: 3 }])],
    ['is resumed as another leg', changed([9, 'run.resumed', { ...RESUMED[2], leg: 2 }])],
    ['starts again while it waits', changed([7, 'run.restarted', { ...run, attempt: 2, part: 0, at: 2 }])],
    ['ends with an open input', [...WHOLE.slice(0, 7), [8, 'run.cancelled', { ...run, by: 'u' }]]],
    ['is completed without its wait', [MESSAGE, QUEUED, STARTED, delta(3, 0, '1 2 3 '), END]],
  ])('and %s is refused', (_, frames) => {
    expect(found(frames)).toContain('wait');
  });

  it('and writes to its answer is refused', () => {
    const reader = [connect('a'), ...events('a', [...WHOLE.slice(0, 7), delta(7, 2, '2 ')])];
    expect(codes(ASKED, ANSWER, reader, final(WHOLE))).toContain('wait');
  });

  it('and says something else in its second leg is refused', () => {
    expect(found(changed(delta(11, 0, '2 4 ', { part: 1 })))).toContain('answer');
  });
});

describe('an answer', () => {
  it('that was acknowledged is in the final read, unless a loss was declared later', () => {
    const other = [answer('3', 'no'), { kind: 'answered', call: '3' } as const];
    expect(codes(ASKED, ANSWER, other, final(WHOLE))).toEqual(['C2']);
    const lost: Observed = { kind: 'crash', what: 'power', declaresLoss: true };
    expect(codes(ASKED, ANSWER, other, lost, final(WHOLE))).toEqual([]);
  });

  it('that nobody gave, or that was refused, is in no read', () => {
    expect(codes(ASKED, final(WHOLE))).toEqual(['C5']);
    expect(codes(ASKED, answer('2'), final(WHOLE))).toEqual([]);
    expect(codes(ASKED, answer('2'), { kind: 'refused', call: '2', code: 'x' }, final(WHOLE))).toEqual(['C5']);
  });
});

function tail([, type, data]: Frame): [string, Record<string, unknown>] {
  return [type, data];
}

// The table of stop reasons: what each reason permits, and how an attempt ends for every pair of stream end and reason.
import { describe, expect, it } from 'vitest';
import { endingOf, STOP_RULES, type AttemptEnding, type StopWhy } from '../../src/worker/run/stop-reason.ts';

const REASONS = Object.keys(STOP_RULES) as StopWhy[];
const STREAMED: AttemptEnding = { act: 'finish', terminal: 'streamed' };
const CHECK_CHAT: AttemptEnding = { act: 'check-chat' };

describe('an attempt that nothing stopped', () => {
  it.each([
    ['completed', STREAMED],
    ['failed', STREAMED],
    ['waiting', { act: 'wait' }],
    ['unjoinable', { act: 'restart' }],
    [undefined, { act: 'leave', outcome: 'lost' }],
  ] as const)('ends by its stream when that is %s', (stream, ending) => {
    expect(endingOf(stream, undefined, false)).toEqual(ending);
  });
});

describe('an attempt that was stopped', () => {
  it.each([
    ['cancelled', { act: 'finish', terminal: 'cancelled' }],
    ['overdue', { act: 'finish', terminal: 'run-too-long' }],
    ['gone', { act: 'leave', outcome: 'gone' }],
    ['lost', { act: 'leave', outcome: 'lost' }],
    ['refused', CHECK_CHAT],
    ['handed-over', { act: 'leave', outcome: 'released' }],
  ] as const)('ends by its reason when that is %s, unless the stream completed', (why, ending) => {
    for (const stream of ['failed', 'waiting', 'unjoinable', 'retriable', undefined] as const)
      expect(endingOf(stream, why, false)).toEqual(ending);
    expect(endingOf('completed', why, false)).toEqual(STREAMED);
  });

  it('tries its appends again only when it ends in a terminal', () => {
    for (const why of REASONS)
      expect(STOP_RULES[why].retriesAppends, why).toBe(STOP_RULES[why].ending.act === 'finish');
  });
});

describe('an attempt whose append was refused', () => {
  it.each([undefined, ...REASONS.filter((why) => why !== 'gone')])('reads the chat again when stopped by %s', (why) => {
    for (const stream of ['completed', 'failed', 'unjoinable', undefined] as const)
      expect(endingOf(stream, why, true)).toEqual(CHECK_CHAT);
  });

  it('leaves a chat that is known to be gone', () => {
    expect(endingOf('completed', 'gone', true)).toEqual({ act: 'leave', outcome: 'gone' });
  });
});

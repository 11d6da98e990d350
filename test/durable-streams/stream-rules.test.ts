// What an append does, by the rules alone: closing, producers, Stream-Seq, content types.
import { describe, expect, it } from 'vitest';
import {
  decideAppend,
  isSameType,
  isTextType,
  PRODUCERS_MAX,
  type AppendRequest,
  type StreamState,
} from '../../src/durable-streams/stream-rules.ts';

const TYPE = 'text/plain';
const DATA: AppendRequest = { type: TYPE, hasData: true, closes: false, seq: undefined, producer: undefined };
const by = (seq: number, epoch = 0, id = 'p'): AppendRequest => ({ ...DATA, producer: { id, epoch, seq } });
const decide = (state: StreamState, request: AppendRequest) => decideAppend(state, TYPE, request);
const after = (state: StreamState, request: AppendRequest): StreamState => {
  const decision = decide(state, request);
  if (decision.kind !== 'append') throw new Error(decision.kind);
  return decision.after;
};
const refusal = (state: StreamState, request: AppendRequest): unknown => {
  const decision = decide(state, request);
  return decision.kind === 'refused' ? decision.refusal : decision.kind;
};

describe('decideAppend', () => {
  it('refuses another content type, and takes any for a close without data', () => {
    expect(refusal({}, { ...DATA, type: 'text/html' })).toEqual({ code: 'type-mismatch' });
    expect(after({}, { ...DATA, type: 'text/html', hasData: false, closes: true })).toEqual({ closed: true });
  });

  it('takes only rising values of Stream-Seq, by their bytes', () => {
    const state = after({}, { ...DATA, seq: '09' });
    expect(refusal(state, { ...DATA, seq: '09' })).toEqual({ code: 'seq-order' });
    expect(after(state, { ...DATA, seq: '10' })).toEqual({ seq: '10' });
    expect(refusal({ seq: '2' }, { ...DATA, seq: '10' })).toEqual({ code: 'seq-order' });
    expect(after(state, DATA)).toEqual({ seq: '09' });
  });

  it('appends nothing to a closed stream, and lets its close be repeated', () => {
    const closed: StreamState = { closed: true };
    expect(refusal(closed, DATA)).toEqual({ code: 'stream-closed' });
    expect(refusal(closed, { ...DATA, closes: true })).toEqual({ code: 'stream-closed' });
    expect(decide(closed, { ...DATA, hasData: false, closes: true })).toEqual({ kind: 'done', producer: undefined });
  });

  it('takes the next request of a producer once', () => {
    const one = after({}, by(0));
    const two = after(one, by(1));
    expect(two).toEqual({ producers: [{ id: 'p', epoch: 0, seq: 1 }] });
    // The newest number that was accepted, not the number of the request.
    expect(decide(two, by(0))).toEqual({ kind: 'done', producer: { id: 'p', epoch: 0, seq: 1 } });
    expect(refusal(two, by(3))).toEqual({ code: 'producer-gap', expected: 2, received: 3 });
    expect(refusal({}, by(1))).toEqual({ code: 'producer-gap', expected: 0, received: 1 });
  });

  it('shuts an earlier epoch of a producer out', () => {
    const state = after(after({}, by(0)), by(0, 1));
    expect(refusal(state, by(1, 0))).toEqual({ code: 'stale-producer', epoch: 1 });
    expect(refusal(state, by(3, 2))).toEqual({ code: 'producer-start' });
    // Also in a closed stream: the producer must learn that it was replaced, and not that it may give up.
    expect(refusal({ ...state, closed: true }, by(1, 0))).toEqual({ code: 'stale-producer', epoch: 1 });
  });

  it('recognizes the retry of a request that closed the stream', () => {
    const state = after({}, { ...by(0), closes: true });
    expect(decide(state, { ...by(0), closes: true }).kind).toBe('done');
    expect(refusal(state, { ...by(1), closes: true })).toEqual({ code: 'stream-closed' });
    expect(refusal(state, by(0, 0, 'other'))).toEqual({ code: 'stream-closed' });
  });

  it('forgets the producer that was silent for the longest time beyond the bound', () => {
    let state: StreamState = {};
    for (let i = 0; i < PRODUCERS_MAX; i += 1) state = after(state, by(0, 0, `p${i}`));
    state = after(state, by(1, 0, 'p0'));
    state = after(state, by(0, 0, 'new'));
    expect(state.producers).toHaveLength(PRODUCERS_MAX);
    expect(decide(state, by(1, 0, 'p0')).kind).toBe('done');
    expect(decide(state, by(0, 0, 'p1')).kind).toBe('append');
  });
});

describe('content types', () => {
  it('are equal without parameters and in any case', () => {
    expect(isSameType('Text/Plain; charset=utf-8', 'text/plain')).toBe(true);
    expect(isSameType('text/plain', 'text/html')).toBe(false);
    expect(isSameType('text/plain', undefined)).toBe(false);
    expect(isTextType('application/json; charset=utf-8')).toBe(true);
    expect(isTextType('application/jsonx')).toBe(false);
  });
});

// The table from frames and close codes to the next step of a chat.
import { describe, expect, it } from 'vitest';
import { parseServerFrame, wireEndOfClose } from '../../src/client/protocol/socket-frames.ts';

const parse = (frame: unknown): unknown => parseServerFrame(JSON.stringify(frame));
const endOf = (error: Record<string, unknown>): unknown =>
  parse({ type: 'error', sessionId: 'c', message: 'm', ...error });

describe('frames', () => {
  it('reads one event and several in the same way', () => {
    const first = { id: 'e.1', event: 'delta', data: { text: 'a' } };
    const live = { event: 'live', data: {} };
    expect(parse({ type: 'event', sessionId: 'c', ...first })).toEqual({
      type: 'events',
      sessionId: 'c',
      frames: [first],
    });
    expect(parse({ type: 'events', sessionId: 'c', events: [first, 7, live, {}] })).toEqual({
      type: 'events',
      sessionId: 'c',
      frames: [first, live],
    });
  });

  it('treats an event without a session as one for the whole socket', () => {
    expect(parse({ type: 'event', event: 'reconnect', data: { afterMs: 5 } })).toMatchObject({ sessionId: undefined });
  });

  it('distinguishes an unknown frame from what is no frame', () => {
    expect(parse({ type: 'pong' })).toEqual({ type: 'other' });
    expect(parse({ type: 'weather' })).toEqual({ type: 'other' });
    expect(parseServerFrame('not json')).toBeUndefined();
    expect(parseServerFrame('[]')).toBeUndefined();
  });

  it.each([
    [{ code: 'not-found' }, { kind: 'final', reason: 'not-found' }],
    [{ code: 'forbidden' }, { kind: 'final', reason: 'forbidden' }],
    [{ code: 'invalid-position' }, { kind: 'final', reason: 'refused' }],
    [{ code: 'token-expired' }, { kind: 'unauthorized' }],
    [
      { code: 'too-many', retryable: true, retryAfterMs: 900 },
      { kind: 'later', afterMs: 900 },
    ],
    [{ code: 'internal', retryable: true }, { kind: 'lost' }],
    [{ code: 'invalid-moment', retryable: true }, { kind: 'lost' }],
    [{ code: 'some-later-code' }, { kind: 'lost' }],
  ])('an error about a subscription: %j', (error, end) => {
    expect(endOf(error)).toMatchObject({ type: 'error', sessionId: 'c', end });
  });
});

describe('close codes', () => {
  it.each([
    [4400, '', { kind: 'final', reason: 'refused' }],
    [4401, '', { kind: 'unauthorized' }],
    [4403, '', { kind: 'final', reason: 'forbidden' }],
    [4429, '{"code":"too-many","afterMs":5000}', { kind: 'later', afterMs: 5000 }],
    [4503, 'afterMs=120', { kind: 'later', afterMs: 120 }],
    [4503, 'draining', { kind: 'lost' }],
    [4408, '', { kind: 'lost' }],
    [1006, '', { kind: 'lost' }],
  ])('%i %s', (code, reason, end) => {
    expect(wireEndOfClose(code, reason)).toMatchObject(end);
  });
});

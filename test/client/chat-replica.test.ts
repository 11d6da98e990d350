// The copy of a chat is exact for any behaviour of the wire: the promise of the joining rule, as properties.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ChatReplica } from '../../src/client/state/chat-replica.ts';
import type { ChatState } from '../../src/client/state/chat-state.ts';
import { anyLog, serve } from './any-log.ts';
import type { NumberedEvent } from './scripted-chat.ts';

/** The state after reading the whole log at once, with nothing merged. */
function wholeState(log: readonly NumberedEvent[]): ChatState {
  const replica = new ChatReplica();
  for (const frame of serve(log, -1, () => false)) expect(replica.accept(frame)).toBe('progress');
  return replica.state;
}

function offsetOf(position: string | undefined): number {
  return position === undefined ? -1 : Number(position.split('.')[1]);
}

/** Decides at random, from a list that fast-check can shrink; `false` once the list is used up. */
function coins(list: readonly boolean[]): () => boolean {
  let next = 0;
  return () => list[next++] ?? false;
}

const flips = fc.array(fc.boolean(), { maxLength: 60 });

describe('for any log', () => {
  it('gives the same chat for any merging, any cut and any repetition', () => {
    fc.assert(
      fc.property(
        anyLog,
        flips,
        fc.array(fc.record({ frames: fc.nat(8), again: fc.nat(5) }), { maxLength: 25 }),
        (log, merges, cuts) => {
          const replica = new ChatReplica();
          const mayMerge = coins(merges);
          for (const { frames, again } of cuts) {
            // A repeated event comes as it first came: a server repeats events, it does not merge them differently.
            const resumed = offsetOf(replica.resumeFrom);
            const repeated = serve(log.slice(0, resumed + 1), Math.max(-1, resumed - again), () => false);
            for (const frame of repeated) expect(replica.accept(frame)).toBe('nothing');
            for (const frame of serve(log, resumed, mayMerge).slice(0, frames))
              expect(replica.accept(frame)).toBe('progress');
          }
          for (const frame of serve(log, offsetOf(replica.resumeFrom), mayMerge)) replica.accept(frame);
          expect(replica.state).toEqual(wholeState(log));
          expect(replica.counters.rejoins).toBe(0);
        },
      ),
      { numRuns: 400 },
    );
  });

  it('shows nothing incomplete while a reset rebuilds the chat, and afterwards the same objects', () => {
    fc.assert(
      fc.property(anyLog, flips, fc.nat(100), (log, merges, stop) => {
        const replica = new ChatReplica();
        for (const frame of serve(log, -1, () => false)) replica.accept(frame);
        const before = replica.state;
        replica.accept({ event: 'reset', data: { reason: 'undeclared-hole' } });
        const frames = serve(log, -1, coins(merges));
        for (const frame of frames.slice(0, stop)) {
          replica.accept(frame);
          expect(replica.state).toBe(before);
        }
        // A cut in the middle of the rebuild: the rebuild continues from there.
        for (const frame of serve(log, offsetOf(replica.resumeFrom), () => true)) replica.accept(frame);
        replica.accept({ event: 'live', data: {} });
        expect(replica.state).toEqual(before);
        expect(replica.state.messages).toBe(before.messages);
        expect(replica.counters.resets).toBe(1);
      }),
      { numRuns: 200 },
    );
  });

  it('detects a lost delta at the next one, shows nothing after it, and is exact once the rest was read again', () => {
    fc.assert(
      fc.property(anyLog, fc.nat(), (log, pick) => {
        const builtUpon = log.filter((item, index) => {
          const next = log[index + 1];
          const isDelta = item.event === 'delta' && next?.event === 'delta' && item.data['text'] !== '';
          return isDelta && next.data['runId'] === item.data['runId'] && next.data['part'] === item.data['part'];
        });
        fc.pre(builtUpon.length > 0);
        const lost = builtUpon[pick % builtUpon.length]?.offset ?? 0;
        const replica = new ChatReplica();
        const frames = serve(log, -1, () => false).filter((frame) => frame.id !== `e.${lost}`);
        const verdicts = frames.slice(0, lost + 1).map((frame) => replica.accept(frame));
        expect(verdicts.indexOf('rejoin')).toBe(lost);
        expect(replica.state).toEqual(wholeState(log.slice(0, lost)));
        for (const frame of serve(log, offsetOf(replica.resumeFrom), () => false)) replica.accept(frame);
        expect(replica.state).toEqual(wholeState(log));
      }),
      { numRuns: 300 },
    );
  });
});

describe('the replica', () => {
  const created = (offset: number, epoch = 'e') => ({
    id: `${epoch}.${offset}`,
    event: 'message.created',
    data: { messageId: `m${offset}`, role: 'user', content: 'x' },
  });

  it('drops and counts repeated events', () => {
    const replica = new ChatReplica();
    expect([created(0), created(1), created(1), created(0)].map((frame) => replica.accept(frame))).toEqual([
      'progress',
      'progress',
      'nothing',
      'nothing',
    ]);
    expect(replica.counters).toEqual({ events: 2, duplicatesDropped: 2, resets: 0, rejoins: 0 });
  });

  it('moves its position over unknown events, and over known ones without their fields', () => {
    const replica = new ChatReplica();
    replica.accept({ id: 'e.0', event: 'session.blessed', data: {} });
    replica.accept({ id: 'e.3', event: 'delta', data: { runId: 'r' } });
    replica.accept({ id: 'e.4', event: 'delta', data: { runId: 'r', messageId: 'a', part: 0, kind: 'text', at: 0 } });
    expect(replica.resumeFrom).toBe('e.4');
    expect(replica.state.messages).toEqual([]);
    expect(replica.accept({ event: 'weather', data: null })).toBe('nothing');
  });

  it('starts over when the epoch changes without a reset', () => {
    const replica = new ChatReplica();
    replica.accept(created(5));
    expect(replica.accept(created(6, 'f'))).toBe('rejoin');
    expect(replica.resumeFrom).toBeUndefined();
    expect(replica.state.messages).toHaveLength(1);
    replica.accept(created(0, 'f'));
    replica.accept({ event: 'live', data: {} });
    expect(replica.state.messages.map((message) => message.messageId)).toEqual(['m0']);
  });

  it('reads everything again when the same place does not join twice', () => {
    const replica = new ChatReplica();
    replica.accept(created(0));
    const data = { runId: 'r', messageId: 'a', part: 0, kind: 'text', text: 'x' };
    replica.accept({ id: 'e.1', event: 'run.started', data: { runId: 'r', messageId: 'a', attempt: 1 } });
    const torn = { id: 'e.3', event: 'delta', data: { ...data, at: 7 } };
    expect(replica.accept(torn)).toBe('rejoin');
    expect(replica.resumeFrom).toBe('e.1');
    expect(replica.accept(torn)).toBe('rejoin');
    expect(replica.resumeFrom).toBeUndefined();
    expect(replica.counters).toMatchObject({ rejoins: 2, resets: 1 });
  });

  it('does not count repeated reading as progress, so a server that repeats itself does not reset the back-off', () => {
    const replica = new ChatReplica();
    expect(replica.accept(created(0))).toBe('progress');
    replica.accept({ event: 'reset', data: { reason: 'trimmed' } });
    expect(replica.accept(created(0))).toBe('nothing');
    replica.accept({ event: 'live', data: {} });
    expect(replica.accept(created(1))).toBe('progress');
  });

  it('keeps what it shows when the chat ends', () => {
    const replica = new ChatReplica();
    replica.accept(created(0));
    expect(replica.accept({ event: 'reset', data: { reason: 'removed' } })).toEqual({
      type: 'reset',
      reason: 'removed',
    });
    expect(replica.state.messages).toHaveLength(1);
    expect(replica.counters.resets).toBe(0);
  });
});

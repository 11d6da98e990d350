// The messages that a retry is compared with, over checkpoints of which only some hold all of them.
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { CommandLog } from '../../src/session/commands/command-log.ts';
import { RECENT_MESSAGES_MAX, type RecentMessage } from '../../src/session/commands/command-state.ts';
import { addedSince, RECENT_ADDED_MAX, withAdded } from '../../src/session/commands/recent-messages.ts';
import { Runs } from '../../src/session/runs.ts';
import { chatTopic } from '../../src/session/topic-names.ts';
import { ManualClock } from '../support/manual-clock.ts';

const REF = { tenant: 'default', sessionId: 'one' };
const ANN = { tenant: 'default', user: 'ann' };
const prompt = (messageId: string) =>
  ({ messageId, content: 'x', agent: 'default', model: '', priority: 'normal', onBusy: 'queue' }) as const;

function openNodes() {
  const clock = new ManualClock();
  const broker = new MemoryBroker({ clock, newEpoch: () => 'e' });
  onTestFinished(() => broker.close());
  let ids = 0;
  const node = (addedMax?: number) => {
    const log = new CommandLog(broker, () => 0, undefined, undefined, addedMax);
    return { log, runs: new Runs(broker, log, clock, () => `id-${(ids += 1)}-${'x'.repeat(12)}`) };
  };
  const bytes = async (): Promise<number> => (await broker.describe([chatTopic(REF)]))[0]?.bytes ?? 0;
  return { node, bytes };
}

describe('the recent messages of a chat', () => {
  it('are the latest ones for every node, and a retry of any of them is found', async () => {
    const { node } = openNodes();
    const sent: { readonly messageId: string; readonly runId: string }[] = [];
    let current = node();
    for (let i = 0; i < RECENT_MESSAGES_MAX + 3 * RECENT_ADDED_MAX; i += 1) {
      // Another node continues every few prompts.
      if (i % 5 === 0) current = node();
      const { messageId, runId } = await current.runs.send(ANN, REF, prompt(`m${i}`));
      sent.push({ messageId, runId });
      if (i % 3 !== 0) await current.runs.cancel(ANN, REF, runId);
      else if (i > 0) await current.runs.withdraw(ANN, REF, messageId);
    }
    const latest = sent.slice(-RECENT_MESSAGES_MAX);
    const { log, runs } = node();
    const state = (await log.load(REF))?.state;
    expect(state?.recent.map(({ messageId, runId }) => ({ messageId, runId }))).toEqual(latest);
    for (const { messageId, runId } of latest) expect((await runs.send(ANN, REF, prompt(messageId))).runId).toBe(runId);
  });

  it.each([
    ['take a small part of the room that they would take in every checkpoint', RECENT_ADDED_MAX, 0, 3500],
    ['are in every checkpoint where old nodes may read it', 0, 3500, Infinity],
  ])('%s', async (_, addedMax, least, most) => {
    const { node, bytes } = openNodes();
    const { runs } = node(addedMax);
    const turn = async (i: number): Promise<void> => {
      const { runId } = await runs.send(ANN, REF, prompt(`message-${i}-${'x'.repeat(20)}`));
      await runs.cancel(ANN, REF, runId);
    };
    for (let i = 0; i < RECENT_MESSAGES_MAX; i += 1) await turn(i);
    const before = await bytes();
    const turns = 2 * (RECENT_ADDED_MAX + 1);
    for (let i = 0; i < turns; i += 1) await turn(RECENT_MESSAGES_MAX + i);
    const bytesATurn = ((await bytes()) - before) / turns;
    expect(bytesATurn).toBeGreaterThan(least);
    expect(bytesATurn).toBeLessThan(most);
  });
});

describe('what a checkpoint adds', () => {
  const message = (n: number): RecentMessage => ({ messageId: `m${n}`, bodyHash: 'h', runId: `r${n}`, offset: n });

  it('gives the recent messages back together with the base', () => {
    fc.assert(
      fc.property(fc.nat({ max: 70 }), fc.nat({ max: 12 }), (held, came) => {
        const all = Array.from({ length: held + came }, (_, i) => message(i));
        const base = { at: 1, recent: all.slice(0, held).slice(-RECENT_MESSAGES_MAX) };
        const recent = all.slice(-RECENT_MESSAGES_MAX);
        const added = addedSince(base, recent);
        expect(addedSince(base, recent, 0) ?? []).toEqual([]);
        if (came > RECENT_ADDED_MAX) expect(added).toBeUndefined();
        else expect(withAdded(base.recent, added ?? [], RECENT_MESSAGES_MAX)).toEqual(recent);
      }),
    );
  });

  it('is undefined where the base does not lead to the recent messages', () => {
    const all = [0, 1, 2].map(message);
    expect(addedSince(undefined, all)).toBeUndefined();
    expect(addedSince({ at: 1, recent: [message(7), message(1)] }, all)).toBeUndefined();
  });
});

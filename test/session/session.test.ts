// Sessions as their owner uses them, and how many reads and appends a command costs.
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { CommandLog } from '../../src/session/commands/command-log.ts';
import type { PageEnd } from '../../src/session/stores/chat-pages.ts';
import { RECENT_MESSAGES_MAX, SESSION_RUNS_MAX } from '../../src/session/commands/command-state.ts';
import { Runs } from '../../src/session/runs.ts';
import { ChatRig, joinAnswer } from '../support/chat-rig.ts';
import { eventually } from '../support/wait-for.ts';
import { countingBroker } from '../support/counting-broker.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { timeLimit } from '../support/slowness.ts';

let rig: ChatRig;
afterEach(async () => {
  await rig.close();
});

async function converse(turns: number, from = 0): Promise<void> {
  for (let i = from; i < from + turns; i += 1) {
    const { runId } = await rig.prompt(`prompt ${i}`);
    (await rig.model.call(i)).say(`answer `, `${i}`).finish();
    await eventually(
      async () => (await rig.log.load(rig.ref))?.state.runs.every((run) => run.runId !== runId) ?? false,
    );
  }
}

describe('a session', () => {
  it('is created once, belongs to its creator, and can be read again', async () => {
    rig = new ChatRig();
    const first = await rig.sessions.create(rig.alice, rig.ref, { title: 'Trip', metadata: { a: 1 } });
    expect(first.created).toBe(true);
    expect((await rig.sessions.create(rig.alice, rig.ref, { title: 'Other' })).created).toBe(false);
    await rig.sessions.update(rig.alice, rig.ref, { title: 'Journey' });
    expect(await rig.sessions.describe(rig.alice, rig.ref)).toMatchObject({
      sessionId: 's1',
      title: 'Journey',
      queued: 0,
      messages: 0,
    });
    await expect(rig.sessions.create({ tenant: 'default', user: 'eve' }, rig.ref, {})).rejects.toMatchObject({
      code: 'not-found',
    });
  });

  it('is another session when another tenant has the same id', async () => {
    rig = new ChatRig();
    const other = { tenant: 'acme', user: 'alice' };
    await rig.sessions.create(rig.alice, rig.ref, { title: 'here' });
    await rig.sessions.create(other, { tenant: 'acme', sessionId: 's1' }, { title: 'there' });
    expect((await rig.sessions.describe(other, { tenant: 'acme', sessionId: 's1' })).title).toBe('there');
    expect((await rig.sessions.list(other, 10, undefined)).sessions).toHaveLength(1);
  });

  it('starts empty, in another epoch, when it is created again after its removal', async () => {
    rig = new ChatRig();
    await rig.prompt('hello', { messageId: 'm1' });
    const before = await rig.log.load(rig.ref);
    await rig.sessions.remove(rig.alice, rig.ref);
    await expect(rig.sessions.describe(rig.alice, rig.ref)).rejects.toMatchObject({ code: 'not-found' });
    await rig.prompt('again', { messageId: 'm1' });
    const after = await rig.log.load(rig.ref);
    expect(after?.epoch).not.toBe(before?.epoch);
    expect(after?.state.messages).toBe(1);
  });

  it('is listed by its last activity, page by page, and not when it was removed or expired', async () => {
    rig = new ChatRig();
    for (let i = 0; i < 5; i += 1) {
      await rig.sessions.create(
        rig.alice,
        { tenant: 'default', sessionId: `c${i}` },
        { ttlMs: i === 2 ? 60_000 : 600_000 },
      );
      await rig.clock.advance(1000);
    }
    await rig.runs.send(
      rig.alice,
      { tenant: 'default', sessionId: 'c0' },
      { content: 'x', agent: 'default', model: '', priority: 'normal', onBusy: 'queue' },
    );
    await rig.sessions.remove(rig.alice, { tenant: 'default', sessionId: 'c3' });
    await rig.clock.advance(100_000);
    const ids = async (limit: number, after?: PageEnd): Promise<unknown> => {
      const { sessions, next } = await rig.sessions.list(rig.alice, limit, after);
      return [
        sessions.map((one) => one.sessionId),
        ...(next === undefined ? [] : ((await ids(limit, next)) as unknown[])),
      ];
    };
    expect(await ids(10)).toEqual([['c0', 'c4', 'c1']]);
    expect(await ids(2)).toEqual([['c0', 'c4'], ['c1']]);
    expect(await ids(1)).toEqual([['c0'], ['c4'], ['c1']]);
    expect((await rig.sessions.list({ tenant: 'default', user: 'eve' }, 10, undefined)).sessions).toEqual([]);
  });

  it('stays listed while the list is compacted, also when it is created during that', async () => {
    rig = new ChatRig();
    for (let i = 0; i < 70; i += 1) await rig.sessions.create(rig.alice, { tenant: 'default', sessionId: `c${i}` }, {});
    const [list] = await Promise.all([
      rig.sessions.list(rig.alice, 100, undefined),
      rig.sessions.create(rig.alice, { tenant: 'default', sessionId: 'late' }, {}),
    ]);
    expect(list.sessions.length).toBeGreaterThanOrEqual(70);
    expect((await rig.sessions.list(rig.alice, 100, undefined)).sessions.map((one) => one.sessionId)).toContain('late');
    expect((await rig.sessions.list(rig.alice, 100, undefined)).sessions).toHaveLength(71);
  });
});

describe('history', () => {
  it('in pages of any size is the whole conversation, each message once and in order, also with queued prompts', async () => {
    rig = new ChatRig();
    rig.startWorker();
    await converse(3);
    // Three queued prompts: their answers are in the log long after them.
    await rig.prompt('q0');
    await rig.prompt('q1');
    await rig.prompt('q2');
    for (let i = 3; i < 6; i += 1) (await rig.model.call(i)).say(`late ${i}`).finish();
    await eventually(async () => (await rig.log.load(rig.ref))?.state.runs.length === 0);
    await rig.prompt('still running');
    (await rig.model.call(6)).say('partial');
    await eventually(async () => JSON.stringify(await rig.seen()).includes('partial'));
    const whole = (await rig.sessions.history(rig.alice, rig.ref, 100, undefined)).messages;
    expect(whole.map((message) => message.content)).toEqual([
      'prompt 0',
      'answer 0',
      'prompt 1',
      'answer 1',
      'prompt 2',
      'answer 2',
      'q0',
      'late 3',
      'q1',
      'late 4',
      'q2',
      'late 5',
      'still running',
      'partial',
    ]);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1 }), async (limits) => {
        const pages: string[] = [];
        let before: { epoch: string; offset: number } | undefined;
        for (let i = 0; ; i += 1) {
          const page = await rig.sessions.history(rig.alice, rig.ref, limits[i % limits.length] ?? 1, before);
          expect(page.messages.length).toBeLessThanOrEqual(limits[i % limits.length] ?? 1);
          pages.unshift(...page.messages.map((message) => message.messageId));
          if (page.before === undefined) break;
          before = { epoch: page.epoch, offset: page.before };
        }
        expect(pages).toEqual(whole.map((message) => message.messageId));
      }),
      { numRuns: 30 },
    );
  });

  it('gives a position from which a stream continues without a gap or an overlap', async () => {
    rig = new ChatRig();
    rig.startWorker();
    const { runId } = await rig.prompt('hello');
    const call = await rig.model.call(0);
    call.say('first ');
    await eventually(async () => joinAnswer(await rig.seen(), runId) === 'first ');
    const page = await rig.sessions.history(rig.alice, rig.ref, 10, undefined);
    call.say('second').finish();
    await eventually(async () => (await rig.log.load(rig.ref))?.state.runs.length === 0);
    const rest = await rig.seen({ epoch: page.epoch, offset: page.through });
    const delta = rest.find((event) => event.type === 'delta');
    expect(page.messages[1]?.content).toBe('first ');
    expect(delta?.data).toMatchObject({ at: 6, text: 'second' });
  });
});

describe('a node that has not read a chat for a while', () => {
  const PROMPT = { content: 'hi', agent: 'default', model: '', priority: 'normal', onBusy: 'queue' } as const;
  let ids = 0;

  function anotherNode(): Runs {
    return new Runs(rig.broker, new CommandLog(rig.broker, Math.random), rig.clock, () => `another-${(ids += 1)}`);
  }

  it('stops and withdraws runs that another node has queued since', async () => {
    rig = new ChatRig();
    const [here, there] = [anotherNode(), anotherNode()];
    await here.cancel(rig.alice, rig.ref, (await here.send(rig.alice, rig.ref, PROMPT)).runId);
    const stopped = await there.send(rig.alice, rig.ref, PROMPT);
    expect(await here.cancel(rig.alice, rig.ref, stopped.runId)).toEqual({ runId: stopped.runId, ended: true });
    const { messageId } = await there.send(rig.alice, rig.ref, PROMPT);
    await here.withdraw(rig.alice, rig.ref, messageId);
    expect((await rig.log.load(rig.ref))?.state.runs).toEqual([]);
  });
});

describe('the cost of a command', () => {
  it('is one description of the topic when a first message, or a create, makes the chat', async () => {
    const clock = new ManualClock();
    const { broker, counts } = countingBroker(new MemoryBroker({ clock, newEpoch: () => 'e' }));
    rig = new ChatRig({ broker, clock });
    await rig.prompt('hello');
    expect(counts.describes).toBe(1);
    await rig.sessions.create(rig.alice, { tenant: 'default', sessionId: 's2' }, {});
    expect(counts.describes).toBe(2);
  });

  it('is one more description when another node makes the chat at the same time', async () => {
    const clock = new ManualClock();
    const { broker, counts } = countingBroker(new MemoryBroker({ clock, newEpoch: () => 'e' }));
    rig = new ChatRig({ broker, clock });
    const sent = await Promise.all([
      rig.prompt('hello', { messageId: 'm1' }),
      rig.otherNode().runs.send(rig.alice, rig.ref, {
        messageId: 'm1',
        content: 'hello',
        agent: 'default',
        model: '',
        priority: 'normal',
        onBusy: 'queue',
      }),
    ]);
    expect(sent[0]).toEqual(sent[1]);
    expect((await rig.log.load(rig.ref))?.state.messages).toBe(1);
    // Each node describes the topic once. The node that loses describes it again, and once more to check that the
    // answer it repeats is current. The fifth is the load of the test.
    expect(counts.describes).toBe(5);
  });

  it(
    'is the same for the 200th prompt of a chat as for the second, on a node that never read the chat',
    async () => {
      const clock = new ManualClock();
      const { broker, counts } = countingBroker(new MemoryBroker({ clock, newEpoch: () => 'e' }));
      rig = new ChatRig({ broker, clock, agent: { conversationChars: 2000 } });
      rig.startWorker();
      const coldSend = async (): Promise<typeof counts> => {
        const fresh = new Runs(
          broker,
          new CommandLog(broker, Math.random),
          clock,
          () => `f${counts.appends}-${Math.random()}`,
        );
        const before = { ...counts };
        const { runId } = await fresh.send(rig.alice, rig.ref, {
          content: 'probe',
          agent: 'default',
          model: '',
          priority: 'normal',
          onBusy: 'queue',
        });
        const spent = {
          appends: counts.appends - before.appends,
          describes: counts.describes - before.describes,
          reads: counts.reads - before.reads,
          items: counts.items - before.items,
          chars: 0,
        };
        await fresh.cancel(rig.alice, rig.ref, runId);
        return spent;
      };
      await converse(1);
      const second = await coldSend();
      await eventually(async () => (await rig.log.load(rig.ref))?.state.runs.length === 0);
      const calls = rig.model.calls.length;
      await converse(198, calls);
      const last = await coldSend();
      expect(last.appends).toBe(second.appends);
      expect(last.reads).toBeLessThanOrEqual(second.reads);
      expect(last.items).toBeLessThanOrEqual(second.items);
    },
    timeLimit(60_000),
  );

  it('is bounded: the queued prompts and the remembered messages have a limit', async () => {
    rig = new ChatRig();
    for (let i = 0; i < SESSION_RUNS_MAX; i += 1) await rig.prompt(`p${i}`, { messageId: `m${i}` });
    await expect(rig.prompt('one more')).rejects.toMatchObject({ code: 'queue-full', retryable: true });
    expect((await rig.log.load(rig.ref))?.state.recent.length).toBeLessThanOrEqual(RECENT_MESSAGES_MAX);
  });

  it('is one answer each for a thousand sends and stops against a streaming run: no command starves', async () => {
    rig = new ChatRig();
    rig.startWorker();
    await rig.prompt('stream');
    const call = await rig.model.call(0);
    const over = new AbortController();
    const streaming = (async () => {
      while (!over.signal.aborted) {
        call.say('x');
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    const nodes = [rig, rig.otherNode(), rig.otherNode()];
    const outcomes = await Promise.all(
      Array.from({ length: 1000 }, async (_, i) => {
        const node = nodes[i % nodes.length] ?? rig;
        const prompt = {
          messageId: `s${i}`,
          content: 'x',
          agent: 'default',
          model: '',
          priority: 'normal',
          onBusy: 'queue',
        } as const;
        const sent = await node.runs
          .send(rig.alice, rig.ref, prompt)
          .catch((error: unknown) => (error as { code: string }).code);
        if (typeof sent === 'string') return sent;
        await node.runs.cancel(rig.alice, rig.ref, sent.runId);
        return 'stopped';
      }),
    );
    over.abort();
    await streaming;
    // `queue-full` is an answer; an error about contention would be starvation.
    expect(new Set(outcomes)).toEqual(
      new Set(outcomes.includes('queue-full') ? ['stopped', 'queue-full'] : ['stopped']),
    );
    expect(outcomes.filter((outcome) => outcome === 'stopped').length).toBeGreaterThan(50);
    call.finish();
    await eventually(async () => (await rig.log.load(rig.ref))?.state.runs.length === 0);
  });
});

describe('a stored cursor', () => {
  it('moves only forward, within the epoch and up to the head', async () => {
    rig = new ChatRig();
    await rig.prompt('hello');
    const epoch = (await rig.log.load(rig.ref))?.epoch ?? '';
    expect(await rig.cursors.read(rig.alice, rig.ref, 'phone')).toBeUndefined();
    await rig.cursors.store(rig.alice, rig.ref, 'phone', { epoch, offset: 0 });
    await rig.cursors.store(rig.alice, rig.ref, 'phone', { epoch, offset: 1 });
    expect(await rig.cursors.read(rig.alice, rig.ref, 'phone')).toEqual({ epoch, offset: 1 });
    await rig.cursors.store(rig.alice, rig.ref, 'phone', { epoch, offset: 1 });
    for (const bad of [
      { epoch, offset: 0 },
      { epoch, offset: 2 },
      { epoch: 'other', offset: 1 },
    ]) {
      await expect(rig.cursors.store(rig.alice, rig.ref, 'phone', bad)).rejects.toMatchObject({
        code: 'cursor-conflict',
      });
    }
  });

  it('is the furthest offset after many tabs stored one at the same time', async () => {
    rig = new ChatRig();
    for (let i = 0; i < 20; i += 1) await rig.prompt(`p${i}`);
    const epoch = (await rig.log.load(rig.ref))?.epoch ?? '';
    await Promise.allSettled(
      Array.from({ length: 30 }, (_, i) =>
        rig.cursors.store(rig.alice, rig.ref, 'tab', { epoch, offset: (i * 7) % 31 }),
      ),
    );
    expect(await rig.cursors.read(rig.alice, rig.ref, 'tab')).toEqual({ epoch, offset: 30 });
  });
});

// The contract on pauses: nothing of a paused group or flow is delivered, it waits, and deliveries under way continue.
import { describe, expect, test } from 'vitest';
import type { BrokerEngine } from '../../../src/broker/broker.ts';
import { PAUSED_MAX } from '../../../src/broker/flow-policy.ts';
import { parseTopicPattern } from '../../../src/broker/lite-topic.ts';
import { append, major, outcome, topicName } from './subject.ts';
import type { OpenSubject } from './subject.ts';
import { TestWorker, VISIBILITY_MS } from './worker.ts';

export function pausesContract(open: OpenSubject, { reopens }: { readonly reopens: boolean }): void {
  const fill = async (broker: BrokerEngine, flow: string, count: number, parent = 'x'): Promise<void> => {
    for (let i = 0; i < count; i += 1) await append(broker, topicName(`request/${parent}/${flow}:${i}`), major('r'));
  };
  let version = 0;
  const setPaused = (broker: BrokerEngine, ...names: string[]): Promise<unknown> =>
    broker.setPaused({ names, version: (version += 1) });

  describe('a paused flow', () => {
    test('waits while others are served, continues what is under way, and is served when it is resumed', async () => {
      const { broker, clock } = await open();
      await fill(broker, 'held', 2);
      const worker = new TestWorker(broker, { credit: 10 });
      const [first] = await worker.take(1);
      await setPaused(broker, 'flow held');
      await fill(broker, 'free', 2);
      expect((await worker.take(2)).map(({ topic }) => topic)).toEqual(
        expect.arrayContaining(['request/x/free:0', 'request/x/free:1']),
      );
      await clock.advance(VISIBILITY_MS / 2);
      expect(await first?.extend()).toBe(true);
      expect(await first?.ack()).toBe(true);
      const next = worker.next();
      await fill(broker, 'other', 1);
      expect((await next).topic).toBe('request/x/other:0');
      const resumed = worker.next();
      await setPaused(broker);
      expect((await resumed).topic).toBe('request/x/held:1');
    });

    test('pauses the flows inside it, in every group, and no other', async () => {
      const { broker } = await open();
      await setPaused(broker, 'flow t');
      for (const parent of ['x', 'y']) {
        await fill(broker, 't.u', 1, parent);
        await fill(broker, 't2.u', 1, parent);
        const pattern = parseTopicPattern(`request/${parent}/*`);
        const worker = new TestWorker(broker, { group: parent, pattern, credit: 5 });
        expect((await worker.next()).topic).toBe(`request/${parent}/t2.u:0`);
        const next = worker.next();
        await fill(broker, 'z', 1, parent);
        expect((await next).topic).toBe(`request/${parent}/z:0`);
      }
    });

    test('counts for no position of others', async () => {
      const { broker } = await open();
      await fill(broker, 'held', 5);
      await setPaused(broker, 'flow held');
      await fill(broker, 'a', 1);
      const worker = new TestWorker(broker, { credit: 1 });
      const first = await worker.next();
      await fill(broker, 'b', 1);
      const b = topicName('request/x/b:0');
      expect((await broker.countBefore('agents', [b])).get(b)?.ahead).toBe(0);
      await first.ack();
    });
  });

  test('a paused group delivers nothing, and everything when it is resumed', async () => {
    const { broker } = await open();
    await fill(broker, 'a', 2, 'x');
    await fill(broker, 'a', 1, 'y');
    await setPaused(broker, 'group x');
    const [one, other] = ['x', 'y'].map(
      (group) => new TestWorker(broker, { group, pattern: parseTopicPattern(`request/${group}/*`), credit: 5 }),
    );
    let hasCome = false;
    const first = one?.next().then((delivery) => {
      hasCome = true;
      return delivery;
    });
    expect((await other?.next())?.topic).toBe('request/y/a:0');
    expect(hasCome).toBe(false);
    await setPaused(broker);
    const topics = [(await first)?.topic, (await one?.next())?.topic];
    expect(topics.toSorted()).toEqual(['request/x/a:0', 'request/x/a:1']);
  });

  test('a list of a lower version changes nothing and is answered with the one that holds, and a list that is too long is refused', async () => {
    const { broker } = await open();
    await fill(broker, 'held', 1);
    await setPaused(broker, 'flow held');
    const held = { names: ['flow held'], version };
    expect(await broker.setPaused({ names: [], version: version - 1 })).toEqual(held);
    expect(await broker.setPaused(held)).toEqual(held);
    await fill(broker, 'free', 1);
    const worker = new TestWorker(broker, { credit: 5 });
    expect((await worker.next()).topic).toBe('request/x/free:0');
    const names = Array.from({ length: PAUSED_MAX + 1 }, (_, i) => `flow ${i}`);
    expect(await outcome(broker.setPaused({ names, version: version + 1 }))).toBe('invalid-config');
    expect(await outcome(broker.setPaused({ names: [], version: 0.5 }))).toBe('invalid-config');
  });

  test.runIf(reopens)('a list that is given again after a restart holds', async () => {
    const { broker, reopen } = await open();
    await fill(broker, 'held', 1);
    await fill(broker, 'free', 1);
    await setPaused(broker, 'flow held');
    const again = await reopen();
    await setPaused(again, 'flow held');
    expect((await new TestWorker(again, { credit: 5 }).next()).topic).toBe('request/x/free:0');
  });
}

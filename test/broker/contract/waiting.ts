// The contract on counts of what waits: by group, priority and flow.
import { describe, expect, test } from 'vitest';
import type { BrokerEngine, Priority, WaitingCounts } from '../../../src/broker/broker.ts';
import { GROUPS_MAX } from '../../../src/broker/group/consume-options.ts';
import { parseTopicPattern } from '../../../src/broker/lite-topic.ts';
import { append, major, outcome, topicName } from './subject.ts';
import type { OpenSubject } from './subject.ts';
import { TestWorker } from './worker.ts';

const counts = (high: number, normal: number, low: number): WaitingCounts => ({ high, normal, low });

export function waitingContract(open: OpenSubject, { reopens }: { readonly reopens: boolean }): void {
  const put = async (
    broker: BrokerEngine,
    last: string,
    priority: Priority = 'normal',
    parent = 'x',
  ): Promise<void> => {
    await append(broker, topicName(`request/${parent}/${last}`), major('r'), { priority });
  };
  /** Redis reads what came lately at most once a second. */
  const count = async (
    { broker, clock }: Pick<Awaited<ReturnType<OpenSubject>>, 'broker' | 'clock'>,
    groups: readonly string[],
    flow?: string,
  ): Promise<readonly (readonly number[])[]> => {
    await clock.advance(1000);
    return (await broker.countWaiting(groups, flow)).map(({ high, normal, low }) => [high, normal, low]);
  };
  const startX = (broker: BrokerEngine): TestWorker =>
    new TestWorker(broker, { group: 'x', pattern: parseTopicPattern('request/x/*') });

  describe('a count of what waits', () => {
    test('is by group, priority and the first name of the flow, while every consumer is busy', async () => {
      const subject = await open();
      const { broker } = subject;
      await put(broker, 'first:0', 'high');
      const worker = startX(broker);
      const held = await worker.next();
      await put(broker, 'a.u:1');
      await put(broker, 'a.v:1', 'low');
      await put(broker, 'a:2', 'high');
      await put(broker, 'ab.u:1');
      await put(broker, 'a.u:1', 'normal', 'y');
      expect(await count(subject, ['x'])).toEqual([[1, 2, 1]]);
      expect(await count(subject, ['x', 'y', 'nobody'], 'a')).toEqual([
        [1, 1, 1],
        [0, 0, 0],
        [0, 0, 0],
      ]);
      expect(await count(subject, ['x'], 'first')).toEqual([[0, 0, 0]]);
      await held.ack();
      await worker.done();
      expect(await count(subject, ['x'], 'a')).toEqual([[0, 1, 1]]);
      await broker.remove(topicName('request/x/a.v:1'));
      await worker.done();
      await worker.done();
      const next = worker.next();
      expect(await count(subject, ['x'])).toEqual([[0, 0, 0]]);
      await put(broker, 'a.w:3');
      await (await next).ack();
    });

    test('is whole beside another one that comes at the same time', async () => {
      const subject = await open();
      const { broker } = subject;
      await put(broker, 'first:0', 'high');
      const worker = startX(broker);
      const held = await worker.next();
      await put(broker, 'a:0');
      await put(broker, 'b:0');
      const both = [count(subject, ['x'], 'a'), count(subject, ['x'], 'b')];
      expect(await Promise.all(both)).toEqual([[[0, 1, 0]], [[0, 1, 0]]]);
      await held.ack();
    });

    test('of what a limit or a pause holds back is the same', async () => {
      const subject = await open();
      const { broker } = subject;
      for (let i = 0; i < 3; i += 1) await put(broker, `ac1:${i}`);
      const worker = new TestWorker(broker, { group: 'x', pattern: parseTopicPattern('request/x/*'), credit: 9 });
      await worker.next();
      const next = worker.next();
      expect(await count(subject, ['x'], 'ac1')).toEqual([[0, 2, 0]]);
      await broker.setPaused({ names: ['group x'], version: 1 });
      await put(broker, 'b:0');
      expect(await count(subject, ['x'])).toEqual([[0, 3, 0]]);
      await broker.setPaused({ names: [], version: 2 });
      await next;
    });

    test('of too many groups is refused', async () => {
      const { broker } = await open();
      const groups = Array.from({ length: GROUPS_MAX + 1 }, (_, i) => `g${i}`);
      expect(await outcome(broker.countWaiting(groups))).toBe('invalid-config');
      expect(await broker.countWaiting([])).toEqual([]);
      expect(await broker.countWaiting(['g'])).toEqual([counts(0, 0, 0)]);
    });

    test.runIf(reopens)('is the same after a restart, once a consumer is there', async () => {
      const { broker, clock, reopen } = await open();
      await put(broker, 'a:0', 'high');
      await put(broker, 'a:1');
      await put(broker, 'b:0');
      await startX(broker).next();
      const again = await reopen();
      const next = await startX(again).next();
      expect(next.topic).toBe('request/x/a:0');
      expect(await count({ broker: again, clock }, ['x'], 'a')).toEqual([[0, 1, 0]]);
    });
  });
}

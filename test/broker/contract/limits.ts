// The contract on limits of flows: what is above a limit waits, and delays no other.
import { describe, expect, test } from 'vitest';
import type { BrokerEngine } from '../../../src/broker/broker.ts';
import { parseTopicPattern } from '../../../src/broker/lite-topic.ts';
import { eventually } from '../../support/wait-for.ts';
import { flowOf } from './fair.ts';
import { append, major, topicName } from './subject.ts';
import type { OpenSubject } from './subject.ts';
import { TestWorker, VISIBILITY_MS } from './worker.ts';

export function limitsContract(open: OpenSubject): void {
  const fill = async (broker: BrokerEngine, flow: string, count: number, parent = 'x'): Promise<void> => {
    for (let i = 0; i < count; i += 1) await append(broker, topicName(`request/${parent}/${flow}:${i}`), major('r'));
  };
  /** Notes the flow of each delivery as it comes; nothing is acknowledged. */
  const follow = (worker: TestWorker): string[] => {
    const flows: string[] = [];
    const loop = async (): Promise<void> => {
      for (;;) flows.push(flowOf((await worker.next()).topic));
    };
    loop().catch(() => undefined);
    return flows;
  };

  describe('a flow with a limit on deliveries at once', () => {
    test('has no more of them, while others are served, and the next when one is settled', async () => {
      const { broker } = await open();
      await fill(broker, 'capc2', 4);
      await fill(broker, 'free', 3);
      const worker = new TestWorker(broker, { credit: 10 });
      const held = await worker.take(5);
      const flows = held.map(({ topic }) => flowOf(topic)).toSorted();
      expect(flows).toEqual(['capc2', 'capc2', 'free', 'free', 'free']);
      const next = worker.next();
      await held.find(({ topic }) => flowOf(topic) === 'capc2')?.ack();
      expect(flowOf((await next).topic)).toBe('capc2');
    });

    test('is held to it over all groups together', async () => {
      const { broker, clock } = await open();
      const [one, other] = ['x', 'y'].map(
        (parent) =>
          new TestWorker(broker, { group: parent, pattern: parseTopicPattern(`request/${parent}/*`), credit: 10 }),
      );
      if (one === undefined || other === undefined) throw new Error('two workers');
      await fill(broker, 'capc2', 3, 'x');
      await fill(broker, 'capc2', 3, 'y');
      const held = await one.take(2);
      const seen = follow(other);
      await clock.advance(0);
      expect(seen).toEqual([]);
      await held[0]?.ack();
      // The place goes to one of the two groups.
      const first = follow(one);
      await eventually(() => seen.length + first.length > 0);
      await clock.advance(1);
      expect(seen.length + first.length).toBe(1);
    });

    test('gets the place of a delivery back whose consumer was lost', async () => {
      const { broker, clock } = await open();
      await fill(broker, 'capc1', 2);
      await new TestWorker(broker, { credit: 10 }).take(1);
      const seen = follow(new TestWorker(broker, { credit: 10 }));
      await clock.advance(VISIBILITY_MS - 1);
      expect(seen).toEqual([]);
      await clock.advance(1);
      await eventually(() => seen.length > 0);
    });
  });

  describe('a flow with a limit on deliveries per second', () => {
    test('has its burst at once and then as many as come in, and others do not wait for it', async () => {
      const { broker, clock } = await open();
      await fill(broker, 'slowr3', 6);
      const seen = follow(new TestWorker(broker, { credit: 20 }));
      await eventually(() => seen.length === 3);
      await fill(broker, 'free', 1);
      await eventually(() => seen.length === 4);
      await clock.advance(999);
      expect(seen).toEqual(['slowr3', 'slowr3', 'slowr3', 'free']);
      await clock.advance(1);
      await eventually(() => seen.length === 5);
      await clock.advance(2000);
      await eventually(() => seen.length === 7);
    });
  });

  describe('a flow with a limit on model tokens per second', () => {
    test('waits until what its deliveries used has come in again', async () => {
      const { broker, clock } = await open();
      await fill(broker, 'shapedt1000', 3);
      const worker = new TestWorker(broker, { credit: 20 });
      const first = await worker.next();
      first.charge(4000);
      await first.ack();
      const seen = follow(worker);
      // 4000 of 1000 are used: a token is there again after 3001 ms, at 1000 a second.
      await clock.advance(3000);
      expect(seen).toEqual([]);
      await clock.advance(1);
      await eventually(() => seen.length === 1);
    });

    test('inside another flow with a limit is held to both', async () => {
      const { broker, clock } = await open();
      await fill(broker, 'outerc3.innerc1', 3);
      await fill(broker, 'outerc3.free', 3);
      const seen = follow(new TestWorker(broker, { credit: 20 }));
      await eventually(() => seen.length === 3);
      await clock.advance(1);
      expect(seen.toSorted()).toEqual(['outerc3/free', 'outerc3/free', 'outerc3/innerc1']);
    });
  });
}

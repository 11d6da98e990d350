// The contract on fairness between flows (docs/scheduling.md).
import { describe, expect, test } from 'vitest';
import type { FlowOf } from '../../../src/broker/broker.ts';
import type { FlowPolicyOf } from '../../../src/broker/flow-policy.ts';
import { append, major, topicName } from './subject.ts';
import type { OpenSubject } from './subject.ts';
import { TestWorker, VISIBILITY_MS } from './worker.ts';

/** In the contract a topic's flow is what precedes the colon in its last segment; a dot separates its levels. */
export const flowOf: FlowOf = (topic) => (/([^/:]*):[^/]*$/.exec(topic)?.[1] ?? '').replaceAll('.', '/');

/** In the contract a letter and a number at the end of the last name of a path are a policy: weight, deliveries at
 *  once, the burst of a bucket of deliveries (one a second), the burst of a bucket of tokens (a thousand a second). */
export const policyOf: FlowPolicyOf = (flow, group) => {
  if (flow === '') return { pausedAs: { group: `group ${group}`, flows: 'flow ' } };
  const [, letter, digits] = /([xcrt])(\d+)$/.exec(flow) ?? [];
  const number = Number(digits);
  if (letter === 'x') return { weight: number };
  if (letter === 'c') return { concurrent: number, pool: 'all' };
  if (letter === 'r') return { deliveryRate: { perSecond: 1, burst: number } };
  return letter === 't' ? { tokenRate: { perSecond: 1000, burst: number } } : {};
};

export function fairContract(open: OpenSubject, { reopens }: { readonly reopens: boolean }): void {
  describe('flows', () => {
    const fill = async (broker: Parameters<typeof append>[0], flow: string, count: number): Promise<void> => {
      for (let i = 0; i < count; i += 1) await append(broker, topicName(`request/x/${flow}:${i}`), major('r'));
    };
    /** The flows of the next deliveries, each of which used that many tokens. */
    const served = async (
      worker: TestWorker,
      count: number,
      tokens: Record<string, number> = {},
    ): Promise<string[]> => {
      const flows: string[] = [];
      for (let i = 0; i < count; i += 1) {
        const delivery = await worker.next();
        const flow = flowOf(delivery.topic);
        if (tokens[flow] !== undefined) delivery.charge(tokens[flow]);
        await delivery.ack();
        flows.push(flow);
      }
      return flows;
    };

    test('are served in turns, however much one of them has waiting', async () => {
      const { broker } = await open();
      await fill(broker, 'large', 100);
      const worker = new TestWorker(broker);
      await served(worker, 10);
      await fill(broker, 'small', 3);
      const order = await served(worker, 8);
      expect(order.indexOf('small')).toBeLessThanOrEqual(1);
      expect(order.filter((flow) => flow === 'small')).toHaveLength(3);
    });

    test('get turns by what their deliveries used, and not by their number', async () => {
      const { broker } = await open();
      await fill(broker, 'short', 100);
      await fill(broker, 'long', 100);
      const order = await served(new TestWorker(broker), 66, { short: 100, long: 1000 });
      const long = order.filter((flow) => flow === 'long').length;
      expect(long).toBeGreaterThanOrEqual(4);
      expect(long).toBeLessThanOrEqual(9);
    });

    test('get tokens by their weights', async () => {
      const { broker } = await open();
      await fill(broker, 'light', 40);
      await fill(broker, 'heavyx3', 60);
      const order = await served(new TestWorker(broker), 40, { light: 500, heavyx3: 500 });
      const heavy = order.filter((flow) => flow === 'heavyx3').length;
      expect(heavy).toBeGreaterThanOrEqual(28);
      expect(heavy).toBeLessThanOrEqual(32);
    });

    test('share the turns of the flow around them, however many they are', async () => {
      const { broker } = await open();
      for (let i = 0; i < 10; i += 1) await fill(broker, `crowd.u${i}`, 5);
      await fill(broker, 'lone.u', 20);
      const order = await served(new TestWorker(broker), 40);
      expect(order.filter((flow) => flow === 'lone/u')).toHaveLength(20);
      expect(new Set(order.slice(0, 20)).size).toBe(11);
    });

    test('pay for a delivery that is under way as it is charged, and no second time when its lease is lost', async () => {
      const { broker, clock } = await open();
      await fill(broker, 'long', 10);
      const worker = new TestWorker(broker, { credit: 30 });
      const first = await worker.next();
      first.charge(2000);
      first.charge(3000);
      expect(await first.extend()).toBe(true);
      await fill(broker, 'short', 60);
      const flows: string[] = [];
      for (let i = 0; i < 20; i += 1) flows.push(flowOf((await worker.next()).topic));
      expect(flows.filter((flow) => flow === 'long').length).toBeLessThanOrEqual(2);
      // The worker is lost: all deliveries come again. 3000 tokens are worth about 47 turns of the first guess.
      worker.abort();
      await clock.advance(VISIBILITY_MS + 5000);
      first.charge(9000);
      const after = new TestWorker(broker, { credit: 60 });
      let turns = 0;
      while (flowOf((await after.next()).topic) !== 'long') turns += 1;
      expect(turns).toBeLessThanOrEqual(50);
    });

    test('have positions in the order in which they are served', async () => {
      const { broker } = await open();
      const worker = new TestWorker(broker);
      await append(broker, topicName('request/x/first:0'), major('r'));
      const held = await worker.next();
      await fill(broker, 'large', 50);
      await fill(broker, 'small', 1);
      const small = topicName('request/x/small:0');
      expect((await broker.countBefore('agents', [small])).get(small)?.ahead).toBe(1);
      await held.ack();
      expect(await served(worker, 2)).toEqual(['large', 'small']);
    });

    test('are not held up by a topic that is given back again and again', async () => {
      const { broker } = await open();
      await fill(broker, 'poison', 1);
      await fill(broker, 'other', 10);
      const worker = new TestWorker(broker);
      let others = 0;
      for (let i = 0; i < 21; i += 1) {
        const delivery = await worker.next();
        const isOther = flowOf(delivery.topic) === 'other';
        if (isOther) others += 1;
        expect(await (isOther ? delivery.ack() : delivery.nack(0))).toBe(true);
      }
      expect(others).toBe(10);
    });

    test.runIf(reopens)('are served in turns after a restart too', async () => {
      const { broker, reopen } = await open();
      await fill(broker, 'large', 60);
      await fill(broker, 'small', 1);
      const again = await reopen();
      expect(await served(new TestWorker(again), 2)).toContain('small');
    });
  });
}

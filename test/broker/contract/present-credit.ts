// The contract on a consumer's present credit: what lowers it for a time lowers what the consumer gets.
import { describe, expect, test } from 'vitest';
import type { BrokerEngine, Delivery } from '../../../src/broker/broker.ts';
import { eventually } from '../../support/wait-for.ts';
import { append, major, topicName } from './subject.ts';
import type { OpenSubject } from './subject.ts';
import { TestWorker } from './worker.ts';

class Present {
  readonly listeners = new Set<() => void>();
  #credit = 0;

  constructor(credit: number) {
    this.#credit = credit;
  }

  get credit(): number {
    return this.#credit;
  }

  set credit(credit: number) {
    this.#credit = credit;
    for (const changed of this.listeners) changed();
  }

  subscribe(changed: () => void): () => void {
    this.listeners.add(changed);
    return () => void this.listeners.delete(changed);
  }
}

export function presentCreditContract(open: OpenSubject): void {
  const fill = async (broker: BrokerEngine, from: number, to: number): Promise<void> => {
    for (let i = from; i < to; i += 1) await append(broker, topicName(`request/x/a:${i}`), major('r'));
  };
  /** Takes until nothing comes for a while. */
  const taking = (worker: TestWorker): Delivery[] => {
    const taken: Delivery[] = [];
    const take = async (): Promise<void> => {
      for (;;) taken.push(await worker.next());
    };
    take().catch(() => undefined);
    return taken;
  };
  const has = (taken: readonly Delivery[], count: number): Promise<void> => eventually(() => taken.length === count);

  describe('the present credit of a consumer', () => {
    test('bounds what it holds, and what it does not get goes to another one', async () => {
      const { broker } = await open();
      await fill(broker, 0, 12);
      const present = new Present(2);
      const low = taking(new TestWorker(broker, { credit: 8, present }));
      await has(low, 2);
      const other = taking(new TestWorker(broker, { credit: 8 }));
      await has(other, 8);
      expect(low).toHaveLength(2);
      present.credit = 3;
      await has(low, 3);
      present.credit = 1;
      await low[0]?.ack();
      await low[1]?.ack();
      await other[0]?.ack();
      await has(other, 9);
      expect(low).toHaveLength(3);
      await low[2]?.ack();
      await fill(broker, 12, 13);
      await has(low, 4);
    });

    test('of nothing is a rest, which ends when it rises, and never lifts the credit itself', async () => {
      const { broker } = await open();
      const present = new Present(5);
      const worker = new TestWorker(broker, { credit: 2, present });
      const taken = taking(worker);
      await eventually(() => present.listeners.size === 1);
      present.credit = 0;
      const other = taking(new TestWorker(broker, { credit: 1 }));
      await fill(broker, 0, 4);
      await has(other, 1);
      expect(taken).toHaveLength(0);
      present.credit = 5;
      await has(taken, 2);
      await other[0]?.ack();
      await has(other, 2);
      expect(taken).toHaveLength(2);
      worker.abort();
      await eventually(() => present.listeners.size === 0);
    });
  });
}

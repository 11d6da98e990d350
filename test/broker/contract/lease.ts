// The contract on leases: settling, giving back, expiring, and which consumer may still settle a record.
import { describe, expect, test } from 'vitest';
import type { Delivery } from '../../../src/broker/broker.ts';
import { append, major, readLines, topicName } from './subject.ts';
import type { OpenSubject } from './subject.ts';
import { TestWorker, VISIBILITY_MS, said } from './worker.ts';

const A = topicName('request/x/a');
const B = topicName('request/x/b');

/** Tries every way to settle the delivery, in turn. */
async function settled(delivery: Delivery): Promise<boolean[]> {
  return [await delivery.extend(), await delivery.nack(0), await delivery.ack()];
}

export function leaseContract(open: OpenSubject): void {
  describe('a delivery', () => {
    test('is consumed when it is acknowledged, and cannot be settled again', async () => {
      const { broker } = await open();
      await append(broker, A, major('0', '1'));
      const worker = new TestWorker(broker);
      const first = await worker.next();
      expect(await first.ack()).toBe(true);
      expect(await settled(first)).toEqual([false, false, false]);
      expect(first.lost.aborted).toBe(false);
      expect(await worker.done()).toBe(`${A} 1:1`);
    });

    test('is acknowledged once when many calls acknowledge it at once', async () => {
      const { broker } = await open();
      await append(broker, A, major('0', '1'));
      const worker = new TestWorker(broker);
      const first = await worker.next();
      const answers = await Promise.all([first.ack(), first.ack(), first.nack(0)]);
      expect(answers.filter(Boolean)).toHaveLength(1);
      expect(await worker.done()).toBe(`${A} 1:1`);
    });

    test('comes again at once when it is given back, with its attempt counted', async () => {
      const { broker } = await open();
      await append(broker, A, major('0', '1'));
      const worker = new TestWorker(broker);
      for (const attempt of [1, 2, 3]) {
        const delivery = await worker.next();
        expect([said(delivery), delivery.attempt]).toEqual([`${A} 0:0`, attempt]);
        expect(await delivery.nack(0)).toBe(true);
        expect(await settled(delivery)).toEqual([false, false, false]);
      }
      expect(await worker.done()).toBe(`${A} 0:0`);
      expect((await worker.next()).attempt).toBe(1);
    });

    test('comes again later when it is given back with a delay, and other topics are delivered meanwhile', async () => {
      const { broker, clock } = await open();
      await append(broker, A, major('0', '1'));
      const worker = new TestWorker(broker);
      expect(await (await worker.next()).nack(5000)).toBe(true);
      await clock.advance(4999);
      const asked = worker.done();
      await append(broker, A, major('2'));
      await append(broker, B, major('0'));
      expect(await asked).toBe(`${B} 0:0`);
      const next = worker.next();
      await clock.advance(1);
      const again = await next;
      expect([said(again), again.attempt]).toEqual([`${A} 0:0`, 2]);
    });

    test('goes to another consumer when it is neither settled nor extended in time', async () => {
      const { broker, clock } = await open();
      await append(broker, A, major('0'));
      const [one, two] = [new TestWorker(broker), new TestWorker(broker)];
      const lost = await one.next();
      const next = two.next();
      await clock.advance(VISIBILITY_MS - 1);
      expect(lost.lost.aborted).toBe(false);
      await clock.advance(1);
      const delivery = await next;
      expect(lost.lost.aborted).toBe(true);
      expect([said(delivery), delivery.attempt]).toEqual([`${A} 0:0`, 2]);
    });

    test('changes nothing when it is settled after it was lost', async () => {
      const { broker, clock } = await open();
      await append(broker, A, major('0', '1'));
      const [one, two] = [new TestWorker(broker), new TestWorker(broker)];
      const lost = await one.next();
      await clock.advance(VISIBILITY_MS);
      expect(await settled(lost)).toEqual([false, false, false]);
      const delivery = await two.next();
      expect(said(delivery)).toBe(`${A} 0:0`);
      expect(await settled(lost)).toEqual([false, false, false]);
      expect(delivery.lost.aborted).toBe(false);
      expect(await delivery.ack()).toBe(true);
      expect(await two.done()).toBe(`${A} 1:1`);
    });

    test('returns its credit when it is lost', async () => {
      const { broker, clock } = await open();
      await append(broker, A, major('0'));
      const worker = new TestWorker(broker, { credit: 1 });
      await worker.next();
      const again = worker.next();
      await clock.advance(VISIBILITY_MS);
      expect((await again).attempt).toBe(2);
    });

    test('is held for the full time from each extension', async () => {
      const { broker, clock } = await open();
      await append(broker, A, major('0'));
      const delivery = await new TestWorker(broker).next();
      for (let i = 0; i < 5; i += 1) {
        await clock.advance(VISIBILITY_MS - 1);
        expect(await delivery.extend()).toBe(true);
      }
      await clock.advance(VISIBILITY_MS - 1);
      expect(delivery.lost.aborted).toBe(false);
      await clock.advance(1);
      expect(delivery.lost.aborted).toBe(true);
      expect(await delivery.extend()).toBe(false);
    });

    test('is held for the time that its own consumer requested', async () => {
      const { broker, clock } = await open();
      await append(broker, A, major('0'));
      await append(broker, B, major('0'));
      const short = await new TestWorker(broker, { visibilityMs: 1000 }).next();
      const long = await new TestWorker(broker, { visibilityMs: 5000 }).next();
      await clock.advance(1000);
      expect([short.lost.aborted, long.lost.aborted]).toEqual([true, false]);
      await clock.advance(4000);
      expect(long.lost.aborted).toBe(true);
    });

    test("is lost with its topic, and does not acknowledge the topic's next epoch", async () => {
      const { broker } = await open();
      await append(broker, A, major('old'));
      const worker = new TestWorker(broker, { credit: 5 });
      const lost = await worker.next();
      await broker.remove(A);
      expect(lost.lost.aborted).toBe(true);
      await append(broker, A, major('new'));
      expect(await settled(lost)).toEqual([false, false, false]);
      expect(await worker.done()).toBe(`${A} 0:new`);
      expect(await readLines(broker, A)).toEqual(['0M:new']);
    });

    test('keeps its order when it is lost: no record of its topic overtakes it', async () => {
      const { broker, clock } = await open();
      await append(broker, A, major('0', '1', '2'));
      const [one, two] = [new TestWorker(broker, { credit: 5 }), new TestWorker(broker, { credit: 5 })];
      await one.next();
      await clock.advance(VISIBILITY_MS);
      expect([await two.done(), await two.done(), await two.done()]).toEqual([`${A} 0:0`, `${A} 1:1`, `${A} 2:2`]);
    });
  });
}

// The contract on attempts: how often a record was delivered, and when it may be delivered again, whatever restarts.
import { describe, expect, test } from 'vitest';
import { DELAY_MS_MAX, type BrokerEngine } from '../../../src/broker/broker.ts';
import { append, major, outcome, topicName } from './subject.ts';
import type { OpenSubject } from './subject.ts';
import { TestWorker, said } from './worker.ts';

const A = topicName('request/x/a');
const B = topicName('request/x/b');
const HOUR = 60 * 60 * 1000;

export function attemptsContract(open: OpenSubject, { reopens }: { readonly reopens: boolean }): void {
  describe('an attempt', () => {
    test('counts not when the delivery is given back as untried', async () => {
      const { broker } = await open();
      await append(broker, A, major('0'));
      const worker = new TestWorker(broker);
      for (const [attempt, count] of [
        [1, false],
        [1, true],
        [2, false],
        [2, true],
      ] as const) {
        const delivery = await worker.next();
        expect(delivery.attempt).toBe(attempt);
        expect(await delivery.nack(0, { count })).toBe(true);
      }
      expect((await worker.next()).attempt).toBe(3);
    });

    test('is given back with a delay within its bounds only, and is held after a refusal', async () => {
      const { broker } = await open();
      await append(broker, A, major('0'));
      const delivery = await new TestWorker(broker).next();
      for (const delayMs of [-1, 0.5, Number.NaN, Infinity, DELAY_MS_MAX + 1])
        expect(await outcome(delivery.nack(delayMs))).toBe('invalid-config');
      expect(await delivery.nack(DELAY_MS_MAX)).toBe(true);
    });
  });
  if (reopens) reopened(open);
}

function reopened(open: OpenSubject): void {
  describe('after a reopening', () => {
    test('attempts are counted on, and from 1 for the next record', async () => {
      const { broker, reopen } = await open();
      await append(broker, A, major('0', '1'));
      let engine: BrokerEngine = broker;
      for (const attempt of [1, 2, 3]) {
        const delivery = await new TestWorker(engine).next();
        expect([said(delivery), delivery.attempt]).toEqual([`${A} 0:0`, attempt]);
        engine = await reopen();
      }
      const worker = new TestWorker(engine);
      expect(await worker.done()).toBe(`${A} 0:0`);
      engine = await reopen();
      const next = await new TestWorker(engine).next();
      expect([said(next), next.attempt]).toEqual([`${A} 1:1`, 1]);
    });

    test('a topic that was made again counts from 1', async () => {
      const { broker, reopen } = await open();
      await append(broker, A, major('old'));
      await new TestWorker(broker).next();
      await broker.remove(A);
      await append(broker, A, major('new'));
      const delivery = await new TestWorker(await reopen()).next();
      expect([said(delivery), delivery.attempt]).toEqual([`${A} 0:new`, 1]);
    });

    test('a record that was given back with a delay comes no sooner, and other topics come meanwhile', async () => {
      const { broker, clock, reopen } = await open();
      await append(broker, A, major('0', '1'));
      expect(await (await new TestWorker(broker).next()).nack(HOUR)).toBe(true);
      await clock.advance(HOUR / 2);
      const again = await reopen();
      const worker = new TestWorker(again);
      await clock.advance(HOUR / 2 - 1);
      const asked = worker.next();
      await append(again, A, major('2'));
      await append(again, B, major('0'));
      const other = await asked;
      expect(said(other)).toBe(`${B} 0:0`);
      await other.ack();
      const next = worker.next();
      await clock.advance(1);
      const delayed = await next;
      expect([said(delayed), delayed.attempt]).toEqual([`${A} 0:0`, 2]);
    });
  });
}

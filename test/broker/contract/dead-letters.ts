// The contract on dead letters: what a group gives up leaves its topic, is kept, and can come back once.
import { describe, expect, test } from 'vitest';
import type { BrokerEngine, DeadLetter } from '../../../src/broker/broker.ts';
import {
  ATTEMPTS_MAX,
  DEAD_LETTER_TTL_MS,
  listDeadLetters,
  pruneDeadLetters,
  releaseDeadLetter,
} from '../../../src/broker/dead-letters.ts';
import { BrokerError } from '../../../src/broker/errors.ts';
import { eventually } from '../../support/wait-for.ts';
import { append, infoOf, major, minor, outcome, readLines, topicName } from './subject.ts';
import type { OpenSubject } from './subject.ts';
import { TestWorker, said } from './worker.ts';

const A = topicName('request/x/a');
const B = topicName('request/x/b');

async function letters(broker: BrokerEngine, group?: string): Promise<readonly DeadLetter[]> {
  return (await listDeadLetters(broker, { limit: 100, ...(group === undefined ? {} : { group }) })).letters;
}

/** The only letter there is. */
async function theLetter(broker: BrokerEngine): Promise<DeadLetter> {
  const [letter, ...others] = await letters(broker);
  if (letter === undefined || others.length > 0) throw new Error('one letter was expected');
  return letter;
}

/** Takes the record at the front of its topic and gives it back, as often as it is delivered to this worker. */
async function fail(worker: TestWorker, times: number): Promise<void> {
  for (let i = 0; i < times; i += 1) await (await worker.next()).nack(0);
}

export function deadLetterContract(open: OpenSubject, { reopens }: { readonly reopens: boolean }): void {
  describe('a dead letter', () => {
    madeContract(open);
    releasedContract(open);
    boundsContract(open);
    if (reopens) reopened(open);
  });
}

function madeContract(open: OpenSubject): void {
  test('is made of a rejected record, and its topic continues', async () => {
    const { broker, clock } = await open();
    const { epoch } = await append(broker, A, [...major('poison'), ...minor('next')]);
    const worker = new TestWorker(broker);
    await fail(worker, 1);
    const delivery = await worker.next();
    expect(await delivery.reject('bad-request')).toBe(true);
    expect([await delivery.ack(), await delivery.nack(0), await delivery.reject('again')]).toEqual([
      ...[false, false, false],
    ]);
    expect(await worker.done()).toBe(`${A} 1:next`);
    const place = { group: 'agents', topic: A, epoch, offset: 0 };
    expect(await theLetter(broker)).toMatchObject({ ...place, attempts: 2, reason: 'bad-request', at: clock.now() });
    expect([await letters(broker, 'agents'), await letters(broker, 'others')]).toMatchObject([[place], []]);
    expect(await readLines(broker, A)).toEqual(['0M:poison', '1m:next']);
  });

  test('is made after the last attempt, and the consumer is told and gets what follows', async () => {
    const { broker } = await open();
    await append(broker, A, major('poison', 'next'));
    const told: DeadLetter[] = [];
    const worker = new TestWorker(broker, { attemptsMax: 3, onDeadLetter: async (letter) => void told.push(letter) });
    await fail(worker, 3);
    expect(await worker.done()).toBe(`${A} 1:next`);
    expect(await theLetter(broker)).toMatchObject({ topic: A, offset: 0, attempts: 3, reason: 'attempts' });
    expect(told).toEqual(await letters(broker));
  });

  test('is made once, and the consumer is told until it has done what it must', async () => {
    const { broker, clock } = await open();
    await append(broker, A, major('poison', 'next'));
    let told = 0;
    const onDeadLetter = (): Promise<void> => {
      told += 1;
      return told < 3 ? Promise.reject(new BrokerError('unavailable', 'not now')) : Promise.resolve();
    };
    const worker = new TestWorker(broker, { attemptsMax: 1, onDeadLetter });
    await fail(worker, 1);
    const next = worker.done();
    await eventually(async () => {
      await clock.advance(1_000);
      return told === 3;
    });
    expect(await next).toBe(`${A} 1:next`);
    expect(await theLetter(broker)).toMatchObject({ topic: A, offset: 0, reason: 'attempts' });
  });

  test(`is made after ${ATTEMPTS_MAX} attempts by default`, async () => {
    const { broker } = await open();
    await append(broker, A, major('poison', 'next'));
    const worker = new TestWorker(broker);
    await fail(worker, ATTEMPTS_MAX);
    expect(await worker.done()).toBe(`${A} 1:next`);
    expect((await theLetter(broker)).attempts).toBe(ATTEMPTS_MAX);
  });

  test('is of one group: the others consume the record', async () => {
    const { broker } = await open();
    await append(broker, A, major('0'));
    await (await new TestWorker(broker, { group: 'one' }).next()).reject('no');
    expect(await new TestWorker(broker, { group: 'two' }).done()).toBe(`${A} 0:0`);
    expect((await theLetter(broker)).group).toBe('one');
  });

  test('is not made when the lease was lost, nor without a reason that is a code', async () => {
    const { broker } = await open();
    await append(broker, A, major('0'));
    const worker = new TestWorker(broker);
    const delivery = await worker.next();
    for (const reason of ['', 'Two words', 'x'.repeat(65), 'naïve'])
      expect(await outcome(delivery.reject(reason))).toBe('invalid-config');
    await delivery.nack(0);
    expect(await delivery.reject('late')).toBe(false);
    expect(await letters(broker)).toEqual([]);
    expect((await worker.next()).attempt).toBe(2);
  });

  test.each([0, -1, 1.5, 1001])('needs a number of attempts from 1 to 1000: not %s', async (attemptsMax) => {
    const { broker } = await open();
    expect(await outcome(new TestWorker(broker, { attemptsMax }).next())).toBe('invalid-config');
  });

  test('is one, and the record is delivered no more, when many workers share its topic', async () => {
    const { broker } = await open();
    for (const topic of [A, B]) await append(broker, topic, major('poison', 'next'));
    const workers = [1, 2, 3].map(() => new TestWorker(broker, { attemptsMax: 2, credit: 2 }));
    const seen = new Set<string>();
    const working = workers.map(async (worker) => {
      for (let delivery = await worker.next(); ; delivery = await worker.next()) {
        if (delivery.record.data === 'next') seen.add(delivery.topic);
        await (delivery.record.data === 'next' ? delivery.ack() : delivery.nack(0));
        if (seen.size === 2) for (const one of workers) one.abort();
      }
    });
    await Promise.allSettled(working);
    expect([...seen].toSorted()).toEqual([A, B]);
    expect((await letters(broker)).map(({ topic, offset }) => `${topic} ${offset}`).toSorted()).toEqual([
      `${A} 0`,
      `${B} 0`,
    ]);
  });
}

function releasedContract(open: OpenSubject): void {
  test('is delivered again as attempt 1 when it is released, and is gone', async () => {
    const { broker } = await open();
    const data = '€'.repeat(100_000);
    await append(broker, A, minor(data, '1'), { priority: 'low' });
    const worker = new TestWorker(broker, { attemptsMax: 1 });
    await fail(worker, 1);
    expect(await worker.done()).toBe(`${A} 1:1`);
    const { name } = await theLetter(broker);
    expect(await releaseDeadLetter(broker, name)).toBe(true);
    expect(await letters(broker)).toEqual([]);
    const again = await worker.next();
    expect([said(again), again.attempt, again.priority, again.record.major]).toEqual([
      `${A} 2:${data}`,
      1,
      'low',
      false,
    ]);
  });

  test('is released once when many ask for it at once, and by its name only', async () => {
    const { broker } = await open();
    await append(broker, A, major('0'));
    const worker = new TestWorker(broker);
    await (await worker.next()).reject('no');
    const { name } = await theLetter(broker);
    const released = await Promise.all([1, 2, 3].map(() => releaseDeadLetter(broker, name)));
    expect(released.filter(Boolean)).toHaveLength(1);
    expect(await worker.done()).toBe(`${A} 1:0`);
    expect(await releaseDeadLetter(broker, name)).toBe(false);
    expect(await releaseDeadLetter(broker, topicName('dead/agents/none/a'))).toBe(false);
    expect(await readLines(broker, A)).toEqual(['0M:0', '1M:0']);
  });

  test('is released although its topic has ended, which gets its TTL again', async () => {
    const { broker, clock } = await open();
    await append(broker, A, major('0'), { ttlMs: 1000 });
    const worker = new TestWorker(broker);
    await (await worker.next()).reject('no');
    await clock.advance(1000);
    await eventually(async () => (await broker.describe([A]))[0] === undefined);
    expect(await releaseDeadLetter(broker, (await theLetter(broker)).name)).toBe(true);
    expect(await worker.done()).toBe(`${A} 0:0`);
    expect((await infoOf(broker, A)).ttlMs).toBe(1000);
  });
}

function boundsContract(open: OpenSubject): void {
  test('ends after its time, or when it is removed', async () => {
    const { broker, clock } = await open();
    await append(broker, A, major('0', '1'));
    const worker = new TestWorker(broker);
    await (await worker.next()).reject('no');
    await (await worker.next()).reject('no');
    const [first, second] = await letters(broker);
    expect(await broker.remove(first?.name ?? A)).toBe(true);
    expect(await letters(broker)).toEqual([second]);
    await clock.advance(DEAD_LETTER_TTL_MS);
    await eventually(async () => (await letters(broker)).length === 0);
    expect(await releaseDeadLetter(broker, second?.name ?? A)).toBe(false);
  });

  test('ends before its time when its group has too many, the oldest first', async () => {
    const { broker, clock } = await open();
    await append(broker, A, major('0', '1', '2', '3'));
    const worker = new TestWorker(broker);
    for (let i = 0; i < 4; i += 1) {
      await (await worker.next()).reject('no');
      await clock.advance(1000);
    }
    await pruneDeadLetters(broker, 'agents', 2);
    expect((await letters(broker)).map(({ offset }) => offset).toSorted()).toEqual([2, 3]);
  });
}

function reopened(open: OpenSubject): void {
  test('is there after a reopening, its record is not delivered again, and it can be released', async () => {
    const { broker, reopen } = await open();
    await append(broker, A, major('poison', 'next'));
    await (await new TestWorker(broker).next()).reject('no');
    const before = await letters(broker);
    const again = await reopen();
    expect(await letters(again)).toEqual(before);
    const worker = new TestWorker(again);
    expect(await worker.done()).toBe(`${A} 1:next`);
    expect(await releaseDeadLetter(again, (await theLetter(again)).name)).toBe(true);
    const last = await reopen();
    expect(await releaseDeadLetter(last, before[0]?.name ?? A)).toBe(false);
    expect(await new TestWorker(last).done()).toBe(`${A} 2:poison`);
  });

  test('is made of a record whose attempts were counted before reopenings', async () => {
    const { broker, reopen } = await open();
    await append(broker, A, major('poison', 'next'));
    let engine = broker;
    for (let i = 0; i < 2; i += 1) {
      await new TestWorker(engine, { attemptsMax: 2 }).next();
      engine = await reopen();
    }
    expect(await new TestWorker(engine, { attemptsMax: 2 }).done()).toBe(`${A} 1:next`);
    expect(await theLetter(engine)).toMatchObject({ offset: 0, attempts: 2 });
  });
}

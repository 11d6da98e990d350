// The contract on group consumption: which consumer gets which record, in which order, and how often.
import { describe, expect, test } from 'vitest';
import { routingKey } from '../../../src/broker/append-rules.ts';
import type { BrokerEngine, Priority } from '../../../src/broker/broker.ts';
import { parseTopicPattern } from '../../../src/broker/lite-topic.ts';
import type { LiteTopicName } from '../../../src/broker/lite-topic.ts';
import { eventually } from '../../support/wait-for.ts';
import { timeLimit } from '../../support/slowness.ts';
import { append, isMissing, major, minor, outcome, readLines, topicName } from './subject.ts';
import type { OpenSubject } from './subject.ts';
import { REQUESTS, TestWorker, VISIBILITY_MS, said } from './worker.ts';

const A = topicName('request/x/a');
const B = topicName('request/x/b');
const C = topicName('request/y/c');
/** Time for thousands of durable steps on a busy machine with a slow disk. */
const MANY_MS_MAX = timeLimit(120_000);

export function queueContract(open: OpenSubject): void {
  groupContract(open);
  orderContract(open);
  creditContract(open);
  placeContract(open);
}

function groupContract(open: OpenSubject): void {
  describe('a group', () => {
    test('gets every record of a topic in order, major and minor, from the earliest', async () => {
      const { broker } = await open();
      await append(broker, A, [...major('0'), ...minor('1'), ...major('2')]);
      const worker = new TestWorker(broker);
      expect([await worker.done(), await worker.done()]).toEqual([`${A} 0:0`, `${A} 1:1`]);
      await append(broker, A, minor('3'));
      expect([await worker.done(), await worker.done()]).toEqual([`${A} 2:2`, `${A} 3:3`]);
    });

    test('gets the record as it was written, with its topic and offset', async () => {
      const { broker } = await open();
      const { epoch } = await append(broker, A, major('€'), { priority: 'low' });
      const delivery = await new TestWorker(broker).next();
      expect(delivery).toMatchObject({
        topic: A,
        epoch,
        priority: 'low',
        attempt: 1,
        record: { kind: 'record', offset: 0, major: true, data: '€' },
      });
      expect(delivery.lost.aborted).toBe(false);
    });

    test('consumes the topics that match, whole segment by whole segment, and no others', async () => {
      const { broker } = await open();
      for (const name of ['request/x/a', 'request/y/b', 'request/a', 'request/x/y/a', 'requests/x/a', 'reply/x/a'])
        await append(broker, topicName(name), major('r'));
      const worker = new TestWorker(broker, { credit: 10 });
      const got = await worker.take(2);
      await append(broker, topicName('chat/a'), major('r'));
      await append(broker, C, major('last'));
      got.push(await worker.next());
      expect(got.map(said).toSorted()).toEqual(['request/x/a 0:r', 'request/y/b 0:r', 'request/y/c 0:last']);
    });

    test('may name a single topic', async () => {
      const { broker } = await open();
      await append(broker, A, major('r'));
      await append(broker, B, major('r'));
      expect(await new TestWorker(broker, { pattern: parseTopicPattern(B) }).done()).toBe(`${B} 0:r`);
    });

    test('finds a topic that appears later', async () => {
      const { broker } = await open();
      const worker = new TestWorker(broker);
      const waiting = worker.next();
      await append(broker, topicName('chat/a'), major('not this'));
      await append(broker, C, major('this'));
      expect(said(await waiting)).toBe(`${C} 0:this`);
    });

    test('consumes for itself: another group gets everything too', async () => {
      const { broker } = await open();
      await append(broker, A, major('0', '1'));
      const [one, two] = [new TestWorker(broker, { group: 'one' }), new TestWorker(broker, { group: 'two' })];
      expect([await one.done(), await one.done()]).toEqual([`${A} 0:0`, `${A} 1:1`]);
      expect([await two.done(), await two.done()]).toEqual([`${A} 0:0`, `${A} 1:1`]);
    });

    test('takes nothing from readers', async () => {
      const { broker } = await open();
      await append(broker, A, major('0', '1'));
      const worker = new TestWorker(broker);
      await worker.done();
      expect(await readLines(broker, A)).toEqual(['0M:0', '1M:1']);
    });

    test('does not get superseded records', async () => {
      const { broker } = await open();
      await append(broker, A, minor('0', '1', '2', '3'));
      await append(broker, A, minor('4'), {
        supersedes: [
          [0, 1],
          [3, 3],
        ],
      });
      const worker = new TestWorker(broker);
      expect([await worker.done(), await worker.done()]).toEqual([`${A} 2:2`, `${A} 4:4`]);
    });

    test("gets each record of a topic's new epoch", async () => {
      const { broker } = await open();
      await append(broker, A, major('old 0', 'old 1'));
      const worker = new TestWorker(broker);
      await worker.done();
      await broker.remove(A);
      const { epoch } = await append(broker, A, major('new'));
      const delivery = await worker.next();
      expect([said(delivery), delivery.epoch]).toEqual([`${A} 0:new`, epoch]);
    });

    test('takes a charge for a delivery before and after its end, and delivers as without it', async () => {
      const { broker } = await open();
      await append(broker, A, major('0', '1'));
      const worker = new TestWorker(broker);
      const first = await worker.next();
      for (const tokens of [100, 0, -1, Number.NaN, Infinity]) first.charge(tokens);
      expect(await first.ack()).toBe(true);
      first.charge(100);
      expect(await worker.done()).toBe(`${A} 1:1`);
    });

    test('has one pattern', async () => {
      const { broker } = await open();
      await append(broker, A, major('r'));
      await new TestWorker(broker).done();
      expect(await outcome(new TestWorker(broker, { pattern: parseTopicPattern('request/x/*') }).next())).toBe(
        'invalid-config',
      );
    });

    test.each([
      { credit: 0 },
      { credit: 1.5 },
      { credit: Number.NaN },
      { visibilityMs: 0 },
      { visibilityMs: Infinity },
      { group: '' },
      { group: 'a b' },
      { group: 'x'.repeat(65) },
    ])('refuses %o as invalid-config', async (options) => {
      const { broker } = await open();
      expect(await outcome(new TestWorker(broker, options).next())).toBe('invalid-config');
    });
  });

  describe('a topic that a known group has not consumed', () => {
    test('does not expire, and does once it is consumed', async () => {
      const { broker, clock } = await open();
      await append(broker, A, major('0', '1'), { ttlMs: 60_000 });
      await append(broker, topicName('chat/a'), major('0'), { ttlMs: 60_000 });
      const worker = new TestWorker(broker, { visibilityMs: 3_600_000 });
      const first = await worker.next();
      await clock.advance(600_000);
      await eventually(() => isMissing(broker, topicName('chat/a')));
      expect(await readLines(broker, A)).toEqual(['0M:0', '1M:1']);
      await first.ack();
      await clock.advance(60_000);
      expect(await isMissing(broker, A)).toBe(false);
      expect(await worker.done()).toBe(`${A} 1:1`);
      await clock.advance(60_000);
      await eventually(() => isMissing(broker, A));
    });

    test('is kept as long as one of its groups lags, also without a consumer', async () => {
      const { broker, clock } = await open();
      const [one, two] = [new TestWorker(broker, { group: 'one' }), new TestWorker(broker, { group: 'two' })];
      await append(broker, A, major('0'), { ttlMs: 60_000 });
      await one.done();
      const held = await two.next();
      await held.nack(0);
      two.abort();
      await clock.advance(600_000);
      expect(await readLines(broker, A)).toEqual(['0M:0']);
      await new TestWorker(broker, { group: 'two' }).done();
      await clock.advance(60_000);
      await eventually(() => isMissing(broker, A));
    });

    test('expires when only holes are left to consume', async () => {
      const { broker, clock } = await open();
      await append(broker, A, minor('0', '1'), { ttlMs: 60_000 });
      const worker = new TestWorker(broker, { credit: 2 });
      const held = await worker.next();
      await append(broker, A, minor('2'), { supersedes: [[0, 1]] });
      expect(await held.ack()).toBe(true);
      expect(await worker.done()).toBe(`${A} 2:2`);
      await clock.advance(60_000);
      await eventually(() => isMissing(broker, A));
    });
  });
}

function orderContract(open: OpenSubject): void {
  describe('deliveries', () => {
    test('of one topic are one at a time, however many consumers and credit there are', async () => {
      const { broker } = await open();
      await append(broker, A, major('0', '1'));
      await append(broker, B, major('0'));
      const [one, two] = [new TestWorker(broker, { credit: 10 }), new TestWorker(broker, { credit: 10 })];
      const held = [await one.next(), await two.next()];
      expect(held.map(said).toSorted()).toEqual([`${A} 0:0`, `${B} 0:0`]);
      const waiting = one.next();
      await append(broker, C, major('0'));
      expect(said(await waiting)).toBe(`${C} 0:0`);
      await held.find(({ topic }) => topic === A)?.ack();
      expect(said(await two.next())).toBe(`${A} 1:1`);
    });

    test('of one topic are one at a time, also when more is appended while one is in flight', async () => {
      const { broker } = await open();
      await append(broker, A, major('0'));
      const [one, two] = [new TestWorker(broker, { credit: 10 }), new TestWorker(broker, { credit: 10 })];
      const held = await one.next();
      await append(broker, A, major('1'));
      const waiting = two.next();
      await append(broker, A, major('2'), { priority: 'high' });
      await append(broker, C, major('0'), { priority: 'low' });
      expect(said(await waiting)).toBe(`${C} 0:0`);
      expect(await held.ack()).toBe(true);
      expect([await one.done(), await two.done()]).toEqual([`${A} 1:1`, `${A} 2:2`]);
    });

    test('go to the topic that waited longest', async () => {
      const { broker } = await open();
      const names = Array.from({ length: 10 }, (_, i) => topicName(`request/x/t${(i * 7) % 10}`));
      const worker = new TestWorker(broker, { credit: 20 });
      await append(broker, A, major('first'));
      const held = await worker.next();
      for (const name of names) await append(broker, name, major('r', 'r'));
      await held.ack();
      await append(broker, A, major('last'));
      await receivedNotices(broker, A, ...names);
      const order: string[] = [];
      for (let i = 0; i < 21; i += 1) order.push((await worker.done()).split(' ')[0] ?? '');
      expect(order).toEqual([...names, A, ...names]);
    });

    test('go to the higher priority first', async () => {
      const { broker } = await open();
      const waiting: readonly (readonly [string, Priority | undefined])[] = [
        ['l1', 'low'],
        ['n1', undefined],
        ['h1', 'high'],
        ['n2', 'normal'],
        ['h2', 'high'],
      ];
      for (const [name, priority] of waiting)
        await append(broker, topicName(`request/x/${name}`), major('r'), priority === undefined ? {} : { priority });
      const worker = new TestWorker(broker, { credit: 5 });
      const taken = await worker.take(5);
      expect(taken.filter(({ priority }) => priority === 'high').map(({ topic }) => topic)).toHaveLength(2);
      expect(taken.map(({ priority }) => priority)).toEqual(['high', 'high', 'normal', 'normal', 'low']);
    });

    test('keep the priority of the topic until a write names another', async () => {
      const { broker } = await open();
      await append(broker, A, major('0'), { priority: 'high' });
      await append(broker, A, major('1'));
      await append(broker, B, major('0'));
      const worker = new TestWorker(broker);
      expect([await worker.done(), await worker.done()]).toEqual([`${A} 0:0`, `${A} 1:1`]);
      await append(broker, A, major('2'), { priority: 'low' });
      expect([await worker.done(), await worker.done()]).toEqual([`${B} 0:0`, `${A} 2:2`]);
    });

    test('take a priority that changes while the topic waits', async () => {
      const { broker } = await open();
      const worker = new TestWorker(broker);
      await append(broker, C, major('held'));
      const held = await worker.next();
      await append(broker, A, major('0'));
      await append(broker, B, major('0'));
      await append(broker, B, [], { priority: 'high' });
      await receivedNotices(broker, B);
      await held.ack();
      expect([await worker.done(), await worker.done()]).toEqual([`${B} 0:0`, `${A} 0:0`]);
    });

    test('do not starve a lower priority, however much waits in the higher ones', async () => {
      const { broker } = await open();
      const many = Array.from({ length: 50 }, (_, i) => i);
      for (const i of many)
        await append(broker, topicName(`request/x/h${i}`), major('1', '2', '3', '4'), { priority: 'high' });
      await append(broker, topicName('request/x/n'), major('r'));
      await append(broker, topicName('request/x/l'), major('r'), { priority: 'low' });
      const worker = new TestWorker(broker);
      const order: string[] = [];
      for (let i = 0; i < 100; i += 1) order.push(await worker.done());
      expect(order).toContain('request/x/n 0:r');
      expect(order).toContain('request/x/l 0:r');
      expect(order[0]).toMatch('request/x/h');
    });

    test('lose no wake-up when appends race with acknowledgements', { timeout: MANY_MS_MAX }, async () => {
      const { broker } = await open();
      const worker = new TestWorker(broker, { credit: 2 });
      const seen: number[] = [];
      const consuming = (async () => {
        while (seen.length < 300) seen.push(Number((await worker.done()).split(':')[1]));
      })();
      for (let i = 0; i < 300; i += 1) {
        const written = append(broker, A, major(`${i}`));
        if (i % 3 === 0) await written;
      }
      await consuming;
      expect(seen.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 300 }, (_, i) => i));
    });

    test(
      'reach every one of thousands of topics that become ready at once, each record once',
      { timeout: MANY_MS_MAX },
      async () => {
        const { broker } = await open();
        const count = 2000;
        const workers = Array.from({ length: 4 }, () => new TestWorker(broker, { credit: 16 }));
        const seen: string[] = [];
        const consuming = workers.map(async (worker) => {
          for (;;) {
            const delivery = await worker.next();
            seen.push(said(delivery));
            if (!(await delivery.ack())) throw new Error('a lease was lost');
            if (seen.length >= 2 * count) for (const one of workers) one.abort();
          }
        });
        await Promise.all(
          Array.from({ length: count }, (_, i) => append(broker, topicName(`request/x/t${i}`), major('0', '1'))),
        );
        await Promise.allSettled(consuming);
        expect(new Set(seen).size).toBe(2 * count);
        expect(seen).toHaveLength(2 * count);
      },
    );
  });
}

/** Waits until the consumers of this node have received the writes to these topics: on Redis the notice takes
 *  another connection than the writer's answer. A later write to a `beside/…` topic of the same routing key arrives
 *  later. */
async function receivedNotices(broker: BrokerEngine, ...topics: readonly LiteTopicName[]): Promise<void> {
  const listener = new TestWorker(broker, { group: 'listeners', pattern: parseTopicPattern('beside/*') });
  for (const what of ['first', 'then']) {
    // The first round makes the group known, and so reads every partition; the second round arrives only by notice.
    for (const topic of topics) await append(broker, topicName(`beside/${routingKey(topic)}`), major(what));
    for (let i = 0; i < topics.length; i += 1) await listener.done();
  }
}

function creditContract(open: OpenSubject): void {
  describe('a consumer', () => {
    test('holds no more deliveries than its credit, and gets the next when one is settled', async () => {
      const { broker } = await open();
      for (const topic of [A, B, C]) await append(broker, topic, major('0'));
      const worker = new TestWorker(broker, { credit: 2 });
      const [first] = await worker.take(2);
      let got = false;
      const third = worker.next().then((delivery) => {
        got = true;
        return delivery;
      });
      expect(said(await new TestWorker(broker).next())).toMatch(/^request/);
      expect(got).toBe(false);
      await first?.nack(0);
      expect(said(await third)).toBe(first && said(first));
    });

    test('delays no other when it does not ask', async () => {
      const { broker } = await open();
      const idle = new TestWorker(broker, { credit: 10 });
      await append(broker, A, major('0'));
      await idle.next();
      const busy = new TestWorker(broker);
      for (let i = 0; i < 20; i += 1) await append(broker, B, major(`${i}`));
      for (let i = 0; i < 20; i += 1) expect(await busy.done()).toBe(`${B} ${i}:${i}`);
    });

    test('shares with the others of its group: each record goes to one of them', async () => {
      const { broker } = await open();
      const workers = [new TestWorker(broker), new TestWorker(broker), new TestWorker(broker)];
      const asked = workers.map((worker) => worker.next());
      for (const topic of [A, B, C]) await append(broker, topic, major('0'));
      expect((await Promise.all(asked)).map(said).toSorted()).toEqual([`${A} 0:0`, `${B} 0:0`, `${C} 0:0`]);
    });

    test('ends when its signal aborts, and may still settle what it holds', async () => {
      const { broker } = await open();
      await append(broker, A, major('0', '1'));
      const worker = new TestWorker(broker, { credit: 5 });
      const held = await worker.next();
      const waiting = worker.ends();
      worker.abort();
      expect(await waiting).toBe(true);
      expect(held.lost.aborted).toBe(false);
      expect(await held.ack()).toBe(true);
      expect(await new TestWorker(broker).done()).toBe(`${A} 1:1`);
    });

    test('gets nothing when it had aborted before, and what was ready goes to another', async () => {
      const { broker } = await open();
      await append(broker, A, major('0'));
      const source = broker.consume('agents', REQUESTS, {
        credit: 1,
        visibilityMs: VISIBILITY_MS,
        signal: AbortSignal.abort(),
      });
      for await (const delivery of source) throw new Error(`delivered ${said(delivery)}`);
      expect(await new TestWorker(broker).done()).toBe(`${A} 0:0`);
    });

    test('leaves the record to the others, or holds it, when it aborts while it is being served', async () => {
      const { broker } = await open();
      const worker = new TestWorker(broker);
      const asked = worker.next().then(said, () => 'ended');
      await append(broker, A, major('0'));
      worker.abort();
      const got = await asked;
      if (got === 'ended') expect(await new TestWorker(broker).done()).toBe(`${A} 0:0`);
      else expect(got).toBe(`${A} 0:0`);
    });

    test('ends without an error when the broker closes, and loses what it holds', async () => {
      const { broker } = await open();
      await append(broker, A, major('0'));
      const worker = new TestWorker(broker, { credit: 5 });
      const held = await worker.next();
      const waiting = worker.ends();
      await broker.close();
      expect(await waiting).toBe(true);
      expect(held.lost.aborted).toBe(true);
      expect(await held.ack()).toBe(false);
    });
  });
}

function placeContract(open: OpenSubject): void {
  describe('a topic that waits', () => {
    const places = async (
      broker: BrokerEngine,
      ...names: readonly LiteTopicName[]
    ): Promise<readonly (number | undefined)[]> => {
      const counts = await broker.countBefore('agents', names);
      return names.map((name) => counts.get(name)?.ahead);
    };

    test('gets the number of topics ahead of it, which falls as they are served', async () => {
      const { broker } = await open();
      const worker = new TestWorker(broker);
      await append(broker, A, major('0'));
      const held = await worker.next();
      const names = Array.from({ length: 6 }, (_, i) => topicName(`request/x/t${i}`));
      for (const name of names) await append(broker, name, major('r'));
      expect(await places(broker, ...names)).toEqual([0, 1, 2, 3, 4, 5]);
      // Taken, not waiting; and one that is not there.
      expect(await places(broker, A, C)).toEqual([undefined, undefined]);
      await receivedNotices(broker, ...names);
      await held.ack();
      const next = await worker.next();
      expect([next.topic, await places(broker, ...names)]).toEqual([names[0], [undefined, 0, 1, 2, 3, 4]]);
    });

    test('gets an estimate of its time once a delivery has ended', async () => {
      const { broker, clock } = await open();
      const worker = new TestWorker(broker);
      const waitOf = async (name: LiteTopicName): Promise<number | undefined> =>
        (await broker.countBefore('agents', [name])).get(name)?.waitMs;
      await append(broker, A, major('0'));
      const first = await worker.next();
      await append(broker, B, major('0'));
      expect(await waitOf(B)).toBeUndefined();
      await clock.advance(2000);
      await first.ack();
      const second = await worker.next();
      await append(broker, C, major('0'));
      expect(await waitOf(C)).toBe(2000);
      await second.ack();
    });

    test('is behind every topic of a higher priority, and ahead of those of a lower one', async () => {
      const { broker } = await open();
      const worker = new TestWorker(broker);
      await append(broker, A, major('0'));
      await worker.next();
      const [low, normal, high, later] = [
        topicName('request/x/l'),
        topicName('request/x/n'),
        topicName('request/x/h'),
        topicName('request/x/n2'),
      ];
      await append(broker, low, major('r'), { priority: 'low' });
      await append(broker, normal, major('r'));
      await append(broker, high, major('r'), { priority: 'high' });
      await append(broker, later, major('r'));
      expect(await places(broker, low, normal, high, later)).toEqual([3, 1, 0, 2]);
    });

    test('is not counted in a group that never had a consumer', async () => {
      const { broker } = await open();
      await append(broker, A, major('0'));
      expect((await broker.countBefore('nobody', [A])).size).toBe(0);
    });

    test('is counted together with at most 255 others', async () => {
      const { broker } = await open();
      const names = Array.from({ length: 257 }, (_, i) => topicName(`request/x/t${i}`));
      await expect(broker.countBefore('agents', names)).rejects.toMatchObject({ code: 'invalid-config' });
    });
  });
}

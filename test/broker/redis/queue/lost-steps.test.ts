// A node dies at any step of a delivery. Nothing is lost, nothing that was acknowledged comes twice, and no topic waits
// without end: what the node had in hand is delivered by another node when its ticket or its lease has run out.
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { ACK, DRAIN, LEASE } from '../../../../src/broker/redis/queue/queue-scripts.ts';
import { STEP } from '../../../../src/broker/redis/schedule/schedule-scripts.ts';
import { append, major, outcome, topicName } from '../../contract/subject.ts';
import { TestWorker, said } from '../../contract/worker.ts';
import { RedisServer } from '../../../support/redis-server.ts';
import { timeLimit } from '../../../support/slowness.ts';
import { GroupStore } from './group-store.ts';

const TEST_MS_MAX = timeLimit(30_000);
/** In two flows, in all partitions. */
const TOPICS = ['a:0', 'a:1', 'b:0', 'b:1', 'b:2', 'b:3'].map((name) => topicName(`request/x/${name}`));

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.close());

/** What the worker acknowledges until it has that many, while the store's clock runs. */
async function acknowledged(store: GroupStore, worker: TestWorker, wanted: number): Promise<string[]> {
  const got: string[] = [];
  const consuming = (async () => {
    while (got.length < wanted) got.push(await worker.done());
    return got;
  })();
  const ended = new AbortController();
  onTestFinished(() => ended.abort());
  consuming.catch(() => ended.abort());
  while (got.length < wanted && !ended.signal.aborted) await store.clock.advance(100);
  return consuming;
}

async function loseSchedule({ prefix }: GroupStore): Promise<void> {
  const redis = new Redis(server.url);
  const keys = await redis.keys(`{${prefix}:s}:*`);
  expect(keys).not.toEqual([]);
  await redis.del(keys);
  redis.disconnect();
}

describe('a node that dies', () => {
  const steps = [
    ['its drain', DRAIN.sha],
    ['its step of the schedule', STEP.sha],
    ['its lease', LEASE.sha],
    ['its acknowledgement', ACK.sha],
  ] as const;
  const cases = steps.flatMap(([what, sha]) =>
    (['before', 'after'] as const).map((when) => [when, what, sha] as const),
  );
  test.each(cases)('%s %s leaves every record to another node', { timeout: TEST_MS_MAX }, async (when, _what, sha) => {
    const store = new GroupStore(server);
    const { broker: dying, proxy } = await store.distantNode();
    const survivor = await store.node();
    const worker = new TestWorker(dying, { credit: 4 });
    await append(survivor, topicName('request/x/c:0'), major('0'));
    const mine = [await worker.done()];
    for (const topic of TOPICS) await append(survivor, topic, major('0', '1'));
    const matches = (sent: Buffer): boolean => sent.includes(sha);
    const dies = when === 'before' ? proxy.cutBefore(matches) : proxy.cutAfter(matches);
    void dies.then(() => {
      proxy.refuse();
      proxy.cutAll();
    });
    // Consumes until its connection is gone. The answer to an acknowledgement may be lost, but not its effect.
    const unanswered: string[] = [];
    const consuming = (async () => {
      for (;;) {
        const delivery = await worker.next();
        const isDone = (await outcome(delivery.ack())) === 'accepted';
        (isDone ? mine : unanswered).push(said(delivery));
      }
    })().catch(() => undefined);
    await dies;
    const all = ['request/x/c:0 0:0', ...TOPICS.flatMap((topic) => [`${topic} 0:0`, `${topic} 1:1`])];
    const isAnswerLost = sha === ACK.sha && when === 'after';
    const got = await acknowledged(store, new TestWorker(survivor), all.length - mine.length - (isAnswerLost ? 1 : 0));
    await dying.close();
    await consuming;
    const done = [...mine, ...got, ...(isAnswerLost ? unanswered.slice(0, 1) : [])];
    expect(done.toSorted()).toEqual(all.toSorted());
    for (const topic of TOPICS) {
      const own = done.filter((one) => one.startsWith(`${topic} `));
      if (!isAnswerLost) expect(own).toEqual(own.toSorted());
    }
    // The schedule still has a topic whose ticket ran out, until it is picked once more.
    new TestWorker(survivor).next().catch(() => undefined);
    while ((await survivor.countBefore('agents', TOPICS)).size > 0) await store.clock.advance(100);
  });
});

describe('the loss of', () => {
  test('the whole schedule delivers everything that waits, once', { timeout: TEST_MS_MAX }, async () => {
    const store = new GroupStore(server);
    const broker = await store.node();
    for (const topic of TOPICS) await append(broker, topic, major('0'));
    const worker = new TestWorker(broker);
    const first = await worker.done();
    await loseSchedule(store);
    const got = await acknowledged(store, worker, TOPICS.length - 1);
    expect([first, ...got].toSorted()).toEqual(TOPICS.map((topic) => `${topic} 0:0`).toSorted());
  });

  test(
    'the schedule while no topic comes to wait is noticed by the periodic check',
    { timeout: TEST_MS_MAX },
    async () => {
      const store = new GroupStore(server);
      const [one, two] = [await store.node(), await store.node()];
      const [first] = TOPICS;
      if (first === undefined) throw new Error('no topic');
      await append(one, first, major('0', '1'));
      // A node whose consumers are busy has entered the topic; the schedule is lost; another node has an idle consumer.
      const held = await new TestWorker(one).next();
      const asked = new TestWorker(two).next();
      await one.countBefore('agents', TOPICS);
      for (const topic of TOPICS.slice(1)) await append(one, topic, major('0'));
      await (await asked).ack();
      await loseSchedule(store);
      const got = await acknowledged(store, new TestWorker(two), TOPICS.length);
      expect(new Set(got.map((one) => one.split(' ')[0])).size).toBe(TOPICS.length - 1);
      expect(held.lost.aborted).toBe(true);
    },
  );

  test(
    'the latest writes of a partition, as after a fail-over, delivers what waits there',
    { timeout: TEST_MS_MAX },
    async () => {
      const own = await RedisServer.start();
      onTestFinished(() => own.close());
      const store = new GroupStore(own, 1);
      const broker = await store.node();
      const worker = new TestWorker(broker);
      const [one, two] = [topicName('request/x/a:0'), topicName('request/x/b:0')];
      await append(broker, one, major('0'));
      await worker.done();
      await append(broker, two, major('0'));
      expect(await worker.done()).toBe(`${two} 0:0`);
      // A server that has the topic waiting with an old turn, and its acknowledgement not.
      await own.command(`HDEL {${store.prefix}:p0}:t:request/x/a:0 c:agents`);
      await own.command(`ZADD {${store.prefix}:p0}:q:agents:normal 1 request/x/a:0`);
      await own.command(`HSET {${store.prefix}:p0}:life id another`);
      const [got] = await acknowledged(store, worker, 1);
      expect(got).toBe(`${one} 0:0`);
    },
  );
});

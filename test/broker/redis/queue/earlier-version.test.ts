// Nodes of the version before the schedule and nodes of this one on one Redis: every record is delivered, each by one
// of them at a time.
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { PRIORITIES } from '../../../../src/broker/group/ready-list.ts';
import { RedisKeys } from '../../../../src/broker/redis/keys.ts';
import { ACK } from '../../../../src/broker/redis/queue/queue-scripts.ts';
import { append, major, topicName } from '../../contract/subject.ts';
import { TestWorker, VISIBILITY_MS, said } from '../../contract/worker.ts';
import { RedisServer } from '../../../support/redis-server.ts';
import { timeLimit } from '../../../support/slowness.ts';
import { EARLIER_TAKE } from './earlier-take.ts';
import { GroupStore } from './group-store.ts';

const TEST_MS_MAX = timeLimit(30_000);

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.close());

/** A node of the earlier version: takes what waits in any partition, past the schedule. */
class EarlierNode {
  readonly #store: GroupStore;
  readonly #redis: Redis;
  readonly #keys: RedisKeys;
  #tokens = 0;

  constructor(store: GroupStore) {
    this.#store = store;
    this.#redis = new Redis(server.url);
    this.#keys = new RedisKeys(store.prefix, store.partitions);
    onTestFinished(() => this.#redis.disconnect());
  }

  /** Undefined: nothing waits. */
  async take(): Promise<{ readonly said: string; readonly ack: () => Promise<unknown> } | undefined> {
    for (let partition = 0; partition < this.#store.partitions; partition += 1) {
      for (const priority of PRIORITIES) {
        const [tag, now, token] = [
          this.#keys.tag(partition),
          this.#store.clock.now(),
          `earlier.${(this.#tokens += 1)}`,
        ];
        const reply = await this.#redis.eval(EARLIER_TAKE, 1, tag, now, 'agents', priority, token, VISIBILITY_MS);
        const [topic, epoch, offset] = reply as [string?, string?, number?];
        if (topic === undefined || epoch === undefined || offset === undefined) continue;
        const ack = (): Promise<unknown> =>
          this.#redis.eval(ACK.lua, 1, tag, now, 'agents', topic, token, epoch, offset + 1, '');
        return { said: `${topic} ${offset}:${offset}`, ack };
      }
    }
    return undefined;
  }
}

test(
  'an earlier node and a node of this version share a group, and each record is delivered once',
  { timeout: TEST_MS_MAX },
  async () => {
    const store = new GroupStore(server);
    const broker = await store.node();
    const earlier = new EarlierNode(store);
    const names = Array.from({ length: 60 }, (_, i) => topicName(`request/x/f${i % 3}:${i}`));
    const worker = new TestWorker(broker, { credit: 8 });
    const seen: string[] = [];
    await append(broker, topicName('request/x/first:0'), major('0'));
    await worker.done();
    for (const [i, name] of names.entries())
      await append(broker, name, major('0', '1'), { priority: PRIORITIES[i % 3] ?? 'normal' });
    while (seen.length < 2 * names.length) {
      const taken = await earlier.take();
      if (taken !== undefined) {
        seen.push(taken.said);
        await taken.ack();
      }
      if (seen.length < 2 * names.length) seen.push(await worker.done());
    }
    expect(seen.toSorted()).toEqual(names.flatMap((name) => [`${name} 0:0`, `${name} 1:1`]).toSorted());
    expect(await earlier.take()).toBeUndefined();
  },
);

test(
  'what an earlier node took and lost is delivered by a node of this version',
  { timeout: TEST_MS_MAX },
  async () => {
    const store = new GroupStore(server);
    const broker = await store.node();
    const earlier = new EarlierNode(store);
    const worker = new TestWorker(broker);
    await append(broker, topicName('request/x/first:0'), major('0'));
    await worker.done();
    await append(broker, topicName('request/x/a:0'), major('0'));
    expect((await earlier.take())?.said).toBe('request/x/a:0 0:0');
    let delivered = '';
    void worker.next().then((delivery) => (delivered = said(delivery)));
    for (let ms = 0; ms < VISIBILITY_MS; ms += 1000) {
      expect(delivered).toBe('');
      await store.clock.advance(1000);
    }
    while (delivered === '') await store.clock.advance(1000);
    expect(delivered).toBe('request/x/a:0 0:0');
  },
);

test('what a node of this version leased is not taken by an earlier one', async () => {
  const store = new GroupStore(server);
  const broker = await store.node();
  const earlier = new EarlierNode(store);
  await append(broker, topicName('request/x/a:0'), major('0', '1'));
  const held = await new TestWorker(broker).next();
  expect(await earlier.take()).toBeUndefined();
  await held.ack();
  expect((await earlier.take())?.said).toBe('request/x/a:0 1:1');
});

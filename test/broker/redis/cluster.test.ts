// A cluster that changes under the engine: partitions move from master to master, and masters die.
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { slotOf } from '../../../src/broker/redis/connection/route.ts';
import type { RedisBrokerOptions } from '../../../src/broker/redis/open-redis-broker.ts';
import { CollectedTail, append, infoOf, major, minor, outcome, readLines, topicName } from '../contract/subject.ts';
import { TestWorker } from '../contract/worker.ts';
import { eventually } from '../../support/wait-for.ts';
import { RedisCluster } from '../../support/redis-cluster.ts';
import { RedisStore } from './redis-store.ts';

const CHAT = topicName('chat/moving');
const QUEUE = topicName('request/agent/moving');

let cluster: RedisCluster;
beforeAll(async () => {
  cluster = await RedisCluster.start();
});
afterAll(() => cluster.close());

const onCluster = (): Partial<RedisBrokerOptions> => ({ nodes: cluster.urls, cluster: true });

function storeOfCluster(): RedisStore {
  const [first] = cluster.nodes;
  if (first === undefined) throw new Error('an empty cluster');
  return new RedisStore(first);
}

test('slots equal the ones that the server computes', async () => {
  const store = storeOfCluster();
  for (const tag of [store.keys.tag(0), store.keys.tag(3), '{holdline:p12}', '{a}']) {
    expect(slotOf(tag)).toBe(Number(await store.server.command(`CLUSTER KEYSLOT ${tag}:x`)));
  }
});

test('a partition that moves is complete before and after, refuses meanwhile, and keeps its tails and queues', async () => {
  const store = storeOfCluster();
  const [writer, other] = [await store.open(onCluster()), await store.open(onCluster())];
  const { epoch } = await append(writer, CHAT, [...major('start'), ...minor('a')], { takeFence: true });
  await append(writer, QUEUE, major('q0'));
  const tail = new CollectedTail(other, CHAT, { epoch, offset: 0 });
  await tail.reached(2);
  const worker = new TestWorker(other);
  expect(await worker.done()).toBe(`${QUEUE} 0:q0`);
  const fenced = (seq: number) => ({ expect: { epoch }, fence: { fence: 0, seq } });
  for (let round = 0; round < 2; round += 1) {
    const seq = 2 * round + 1;
    await cluster.move(slotOf(store.keys.tag(store.keys.partitionOf(CHAT))), async () => {
      expect(await outcome(append(writer, CHAT, minor(`moving ${round}`), fenced(seq)))).toBe('unavailable');
      expect(await outcome(append(writer, topicName('chat2/moving'), major('x')))).toBe('unavailable');
    });
    // A refused append left no records.
    await eventually(async () => (await outcome(other.describe([CHAT]))) === 'accepted');
    expect((await infoOf(other, CHAT)).next).toBe(2 + 2 * round);
    await eventually(
      async () => (await outcome(append(writer, CHAT, minor(`moving ${round}`), fenced(seq)))) === 'accepted',
    );
    await append(writer, CHAT, minor(`moved ${round}`), fenced(seq + 1));
    await append(other, QUEUE, major(`q${round + 1}`));
    expect(await worker.done()).toBe(`${QUEUE} ${round + 1}:q${round + 1}`);
  }
  const story = ['0M:start', '1m:a', '2m:moving 0', '3m:moved 0', '4m:moving 1', '5m:moved 1'];
  expect(await readLines(other, CHAT)).toEqual(story);
  expect(await tail.reached(6)).toEqual(story);
});

test('a dead master makes only its own partitions unavailable', async () => {
  const store = storeOfCluster();
  const broker = await store.open(onCluster());
  const topics = Array.from({ length: 32 }, (_, i) => topicName(`chat/c${i}`));
  for (const topic of topics) await append(broker, topic, minor('a'));
  const first = topics[0] ?? CHAT;
  const server = await cluster.ownerOf(slotOf(store.keys.tag(store.keys.partitionOf(first))));
  // The process is frozen, not killed, so the other masters still take the cluster for whole for a while.
  server.freeze();
  onTestFinished(() => server.thaw());
  const outcomes = await Promise.all(topics.map((topic) => outcome(broker.read(topic, 'earliest'))));
  expect(new Set(outcomes)).toEqual(new Set(['accepted', 'unavailable']));
  expect(broker.health().state).toBe('unavailable');
  server.thaw();
  await cluster.serving();
  await eventually(async () => (await outcome(append(broker, first, minor('b')))) === 'accepted');
  expect((await readLines(broker, first)).at(-1)).toMatch(/m:b$/);
});

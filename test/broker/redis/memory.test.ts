// A full server, and the memory that a chat uses on the server.
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { LiteTopicName } from '../../../src/broker/lite-topic.ts';
import { RESERVE_BYTES } from '../../../src/broker/redis/commands/append.ts';
import { CHAT, QUEUE, append, major, minor, outcome, readLines, topicName } from '../contract/subject.ts';
import { TestWorker } from '../contract/worker.ts';
import { RedisServer } from '../../support/redis-server.ts';
import { RedisStore } from './redis-store.ts';

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.close());

/** The bytes that Redis reports for the keys of a topic. */
async function costOf(store: RedisStore, topic: LiteTopicName): Promise<number> {
  const raw = store.raw();
  const costs = await Promise.all(
    (['meta', 'majors', 'minors', 'holes'] as const).map((kind) => raw.memory('USAGE', store.key(kind, topic))),
  );
  return costs.reduce<number>((sum, cost) => sum + (cost ?? 0), 0);
}

describe('the memory of a topic', () => {
  test('is little more than its one record', async () => {
    const store = new RedisStore(server);
    const broker = await store.open();
    await append(broker, CHAT, major('c'.repeat(300)), { ttlMs: 86_400_000 });
    // Redis allocates 4 KB for a new stream.
    expect(await costOf(store, CHAT)).toBeLessThan(300 + 1000);
  });

  test('is that of its finished answers, without their deltas', async () => {
    const store = new RedisStore(server);
    const broker = await store.open();
    const { epoch } = await append(broker, CHAT, major('created'), { ttlMs: 86_400_000 });
    const text = 'x'.repeat(1000);
    for (let run = 0; run < 5; run += 1) {
      const { first } = await append(broker, CHAT, major('started'), { takeFence: true });
      await append(broker, CHAT, minor(...Array.from({ length: 500 }, () => 'token')), {
        expect: { epoch },
        fence: { fence: first, seq: 1 },
      });
      await append(broker, CHAT, major(text), {
        expect: { epoch },
        fence: { fence: first, seq: 2 },
        supersedes: [[first + 1, first + 500]],
      });
    }
    expect(await costOf(store, CHAT)).toBeLessThan(5 * (text.length + 700));
  });

  test('is one record when each record supersedes the last', async () => {
    const store = new RedisStore(server);
    const broker = await store.open();
    const cursor = topicName('cursor/one');
    await append(broker, cursor, minor('at 0'), { ttlMs: 86_400_000 });
    const fresh = await costOf(store, cursor);
    expect(fresh).toBeLessThan(900);
    for (let i = 1; i <= 100; i += 1) await append(broker, cursor, minor(`at ${i}`), { supersedes: [[0, i - 1]] });
    expect(await costOf(store, cursor)).toBeLessThan(fresh + 200);
  });

  test('is almost nothing after the topic has ended', async () => {
    const store = new RedisStore(server);
    const broker = await store.open();
    await append(broker, CHAT, [...major('x'.repeat(10_000)), ...minor('y'.repeat(10_000))]);
    await broker.remove(CHAT);
    expect(await costOf(store, CHAT)).toBeLessThan(300);
    expect(await store.raw().pttl(store.key('meta', CHAT))).toBeGreaterThan(0);
  });
});

test('a full server stops and ends runs, serves queues and removes topics, within a reserve', async () => {
  const full = await RedisServer.start();
  onTestFinished(() => full.close());
  const store = new RedisStore(full);
  const broker = await store.open();
  const { epoch } = await append(broker, CHAT, major('start'), { takeFence: true });
  await append(broker, QUEUE, major('one', 'two'));
  await append(broker, topicName('chat/gone'), major('x'));
  const worker = new TestWorker(broker);
  await store.raw().config('SET', 'maxmemory', '1mb');
  expect(await outcome(append(broker, CHAT, major('more')))).toBe('disk-full');
  expect(await append(broker, CHAT, major('stop'), { expect: { epoch }, mayUseReserve: true })).toEqual({
    epoch,
    first: 1,
    next: 2,
  });
  expect(
    await append(broker, CHAT, major('end'), { expect: { epoch }, fence: { fence: 0, seq: 1 }, mayUseReserve: true }),
  ).toEqual({ epoch, first: 2, next: 3 });
  const first = await worker.next();
  expect(first.record.data).toBe('one');
  expect(await first.extend()).toBe(true);
  expect(await first.nack(0)).toBe(true);
  const again = await worker.next();
  expect(await again.ack()).toBe(true);
  expect((await worker.next()).record.data).toBe('two');
  expect(await broker.remove(topicName('chat/gone'))).toBe(true);
  expect(broker.health().state).toBe('full');
  // The reserve is bounded too.
  await store.raw().config('SET', 'maxmemory', '0');
  const filler = store.raw();
  await filler.call('SET', 'filler', 'x'.repeat(RESERVE_BYTES));
  await filler.config('SET', 'maxmemory', '1mb');
  expect(await outcome(append(broker, CHAT, major('too late'), { expect: { epoch }, mayUseReserve: true }))).toBe(
    'disk-full',
  );
  expect(await readLines(broker, CHAT)).toEqual(['0M:start', '1M:stop', '2M:end']);
});

test('a full server refuses appends, still reads and removes topics, and recovers by itself', async () => {
  const full = await RedisServer.start();
  onTestFinished(() => full.close());
  const store = new RedisStore(full);
  const broker = await store.open();
  const { epoch } = await append(broker, CHAT, major('start'), { takeFence: true });
  await append(broker, CHAT, minor('a', 'b'), { expect: { epoch }, fence: { fence: 0, seq: 1 } });
  const before = await broker.describe([CHAT]);
  await store.raw().config('SET', 'maxmemory', '1mb');
  expect(await outcome(append(broker, CHAT, minor('c'), { expect: { epoch }, fence: { fence: 0, seq: 2 } }))).toBe(
    'disk-full',
  );
  expect(await outcome(append(broker, topicName('chat/new'), major('x')))).toBe('disk-full');
  expect(broker.health().state).toBe('full');
  expect(await broker.describe([CHAT, topicName('chat/new')])).toEqual([...before, undefined]);
  expect(await readLines(broker, CHAT)).toEqual(['0M:start', '1m:a', '2m:b']);
  const end = { expect: { epoch }, fence: { fence: 0, seq: 2 }, supersedes: [[1, 2]] as const };
  expect(await append(broker, CHAT, major('ab'), end)).toEqual({ epoch, first: 3, next: 4 });
  expect(await readLines(broker, CHAT)).toEqual(['0M:start', '1-2>3', '3M:ab']);
  await store.raw().config('SET', 'maxmemory', '0');
  expect(await outcome(append(broker, CHAT, minor('c')))).toBe('accepted');
  expect(broker.health().state).toBe('ready');
});

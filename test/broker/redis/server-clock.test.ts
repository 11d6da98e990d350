// A Redis whose clock is wrong: chats expire by a time that continues from the last time that the nodes recorded.
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { META, PARTITION_KEYS } from '../../../src/broker/redis/keys.ts';
import { openRedisBroker } from '../../../src/broker/redis/open-redis-broker.ts';
import { systemClock } from '../../../src/base/clock.ts';
import { CHAT, append, infoOf, isMissing, major, readLines } from '../contract/subject.ts';
import { eventually } from '../../support/wait-for.ts';
import { RedisServer } from '../../support/redis-server.ts';
import { RedisStore } from './redis-store.ts';

const DAY_MS = 24 * 60 * 60 * 1000;

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.close());

/** Simulates a server's clock that was set ahead: every stored time becomes older by the same amount. */
async function setAhead(store: RedisStore, ms: number): Promise<void> {
  const raw = store.raw();
  const part = store.keys.tag(store.keys.partitionOf(CHAT));
  await raw.hincrby(store.key('meta', CHAT), META.expiresAt, -ms);
  await raw.zincrby(part + PARTITION_KEYS.due, -ms, CHAT);
  await raw.incrby(store.keys.tag(0) + PARTITION_KEYS.clock, -ms);
}

describe('a server whose clock is 40 days ahead', () => {
  test('ends no chat, and an append extends a chat by the time that the nodes estimate', async () => {
    const store = new RedisStore(server);
    const first = await store.open();
    await append(first, CHAT, major('a'), { ttlMs: 30 * DAY_MS });
    await first.close();
    await setAhead(store, 40 * DAY_MS);
    const told: unknown[] = [];
    const second = await store.open({ onError: (error) => told.push(error) });
    expect(await readLines(second, CHAT)).toEqual(['0M:a']);
    expect(String(told[0])).toMatch(/40 days ahead of the last recorded time/);
    await append(second, CHAT, major('b'));
    const { expiresAt = 0 } = await infoOf(second, CHAT);
    expect(Math.abs(expiresAt - (Date.now() - 10 * DAY_MS))).toBeLessThan(DAY_MS);
    // A node that starts now reads the time that the others recorded.
    expect(await readLines(await store.open(), CHAT)).toEqual(['0M:a', '1M:b']);
  });

  test('is trusted when the operator confirms it', async () => {
    const store = new RedisStore(server);
    const first = await store.open();
    await append(first, CHAT, major('a'), { ttlMs: 30 * DAY_MS });
    await first.close();
    await setAhead(store, 40 * DAY_MS);
    expect(await isMissing(await store.open({ isClockTrusted: true }), CHAT)).toBe(true);
  });

  test('ends no chat of a node that started before the clock was set', async () => {
    const store = new RedisStore(server);
    let passed = 0;
    // For this node the server's clock is 40 days ahead from now on, because its own monotonic time has not advanced.
    const clock = { ...systemClock, mono: () => systemClock.mono() - passed };
    const broker = await openRedisBroker({
      nodes: [server.url],
      promise: 'memory',
      partitions: 4,
      prefix: store.prefix,
      clock,
      newEpoch: () => 'e',
      onError: () => undefined,
    });
    onTestFinished(() => broker.close());
    await append(broker, CHAT, major('a'), { ttlMs: 30 * DAY_MS });
    await setAhead(store, 40 * DAY_MS);
    passed = 40 * DAY_MS;
    expect(await readLines(broker, CHAT)).toEqual(['0M:a']);
    passed = 0;
    await eventually(async () => isMissing(broker, CHAT));
  });
});

// With sentinels the node finds the master, and after a fail-over the new one, without another setting.
import { expect, onTestFinished, test } from 'vitest';
import { CHAT, CollectedTail, append, major, minor, outcome, readLines } from '../contract/subject.ts';
import { eventually } from '../../support/wait-for.ts';
import { MASTER_NAME, RedisSentinel } from '../../support/redis-sentinel.ts';
import { RedisServer } from '../../support/redis-server.ts';
import { timeLimit } from '../../support/slowness.ts';
import { RedisStore } from './redis-store.ts';

const TEST_MS_MAX = timeLimit(60_000);

test('a fail-over leads the node to the new master and changes the epoch', { timeout: TEST_MS_MAX }, async () => {
  const master = await RedisServer.start();
  onTestFinished(() => master.close());
  const replica = await RedisServer.start({ replicaOf: master });
  onTestFinished(() => replica.close());
  // One sentinel is enough to name the master.
  const sentinel = await RedisSentinel.start(master);
  onTestFinished(() => sentinel.close());
  const store = new RedisStore(master);
  const broker = await store.open({ nodes: [], sentinel: { name: MASTER_NAME, urls: [sentinel.url] } });
  const { epoch } = await append(broker, CHAT, major('before'));
  const tail = new CollectedTail(broker, CHAT, { epoch, offset: 0 });
  await tail.reached(1);
  // Waits until the replica has the record; otherwise the fail-over could rightly lose it.
  const raw = store.raw();
  await raw.ping();
  expect(await raw.wait(1, timeLimit(10_000))).toBe(1);
  raw.disconnect();
  await master.kill();
  await eventually(async () => (await outcome(append(broker, CHAT, minor('after')))) === 'accepted');
  expect(await readLines(broker, CHAT)).toEqual(['0M:before', '1m:after']);
  expect(await tail.verdict()).toMatchObject({ kind: 'reset', reason: 'epoch-changed' });
  expect(await outcome(append(broker, CHAT, minor('x'), { expect: { epoch } }))).toBe('epoch-changed');
});

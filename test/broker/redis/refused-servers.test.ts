// A server that cannot keep the promise is refused at the start, with the setting to change. A server that stops
// keeping it later receives no writes.
import { describe, expect, onTestFinished, test } from 'vitest';
import type { RedisBrokerOptions } from '../../../src/broker/redis/open-redis-broker.ts';
import { CHAT, append, major, minor, outcome } from '../contract/subject.ts';
import { eventually } from '../../support/wait-for.ts';
import { RedisServer, type RedisOptions } from '../../support/redis-server.ts';
import { RedisStore } from './redis-store.ts';

async function storeOn(options: RedisOptions = {}): Promise<RedisStore> {
  const server = await RedisServer.start(options);
  onTestFinished(() => server.close());
  return new RedisStore(server);
}

describe('refused at the start', () => {
  const refused: readonly (readonly [
    what: string,
    server: RedisOptions,
    promise: RedisBrokerOptions['promise'],
    words: RegExp,
  ])[] = [
    ['an evicting server', { policy: 'allkeys-lru' }, 'memory', /maxmemory-policy to noeviction/],
    ['a server that evicts what expires', { policy: 'volatile-ttl' }, 'memory', /maxmemory-policy to noeviction/],
    ['everysec without a file', {}, 'everysec', /appendonly to yes/],
    ['always without a file', {}, 'always', /appendonly to yes/],
    ['always flushed every second', { appendfsync: 'everysec' }, 'always', /appendfsync is everysec: set it to always/],
    ['everysec never flushed', { appendfsync: 'no' }, 'everysec', /appendfsync is no: set it to everysec/],
    ['replicated without a replica', {}, { replicated: 1 }, /0 replicas are connected: 1 are promised/],
    ['replicated by no or too many', {}, { replicated: 0 }, /from 1 to/],
    ['a member of a cluster taken for one server', { cluster: true }, 'memory', /in a cluster/],
  ];

  test.each(refused)('%s', async (_what, server, promise, words) => {
    const opening = (await storeOn(server)).open({ promise });
    await expect(opening).rejects.toMatchObject({ code: 'invalid-config' });
    await expect(opening).rejects.toThrow(words);
  });

  test('a replica', async () => {
    const { server: master } = await storeOn();
    await expect((await storeOn({ replicaOf: master })).open()).rejects.toThrow(/it is a replica/);
  });

  test('a server that refuses CONFIG GET', async () => {
    const store = await storeOn({ appendfsync: 'always' });
    await store.raw().call('ACL', 'SETUSER', 'holdline', 'on', '>secret', '~*', '&*', '+@all', '-config');
    const url = store.server.url.replace('//', '//holdline:secret@');
    const opening = store.open({ nodes: [url], promise: 'always' });
    await expect(opening).rejects.toThrow(/HOLDLINE_REDIS_APPENDFSYNC .*or allow CONFIG GET/);
    await expect(opening).rejects.not.toThrow(/secret/);
    await store.raw().call('ACL', 'SETUSER', 'holdline', '+config|get');
    expect(await append(await store.open({ nodes: [url], promise: 'always' }), CHAT, minor('a'))).toMatchObject({
      first: 0,
    });
  });

  test('a server that keeps less than the operator’s setting says', async () => {
    const store = await storeOn({ appendfsync: 'everysec' });
    await expect(store.open({ promise: 'always', appendfsync: 'everysec' })).rejects.toThrow(
      /appendfsync is everysec: set it to always/,
    );
    await expect((await storeOn()).open({ promise: 'always', appendfsync: 'always' })).rejects.toThrow(
      /appendonly to yes/,
    );
  });

  test('a store of another layout or another number of partitions', async () => {
    const store = await storeOn();
    await append(await store.open(), CHAT, minor('a'));
    await expect(store.open({ partitions: 8 })).rejects.toThrow(/has 4 partitions, not 8/);
    await store.raw().hset(`${store.keys.tag(0)}:layout`, 'version', 99);
    await expect(store.open()).rejects.toThrow(/has layout 99/);
  });

  test.each([
    { prefix: 'a{b}' },
    { prefix: '' },
    { partitions: 0 },
    { partitions: 1.5 },
    { partitions: 100_000 },
    { nodes: [] },
  ])('options %o', async (options) => {
    await expect((await storeOn()).open(options)).rejects.toMatchObject({ code: 'invalid-config' });
  });
});

test('operators receive a description of each kept promise', async () => {
  const master = await storeOn({ appendfsync: 'always' });
  await storeOn({ replicaOf: master.server });
  const promises: readonly RedisBrokerOptions['promise'][] = ['memory', 'everysec', 'always', { replicated: 1 }];
  const told = await Promise.all(promises.map(async (promise) => (await master.open({ promise })).health().durability));
  expect(new Set(told).size).toBe(4);
  expect(told.every((line) => line.startsWith('redis, '))).toBe(true);
});

test('a server that stops flushing every write receives no writes until its setting is back', async () => {
  const store = await storeOn({ appendfsync: 'always' });
  const broker = await store.open({ promise: 'always' });
  await append(broker, CHAT, major('a'));
  const raw = store.raw();
  await raw.config('SET', 'appendfsync', 'everysec');
  await raw.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  await eventually(() => broker.health().state === 'unavailable');
  await eventually(async () => {
    const failure: unknown = await append(broker, CHAT, minor('x')).catch((error: unknown) => error);
    return failure instanceof Error && failure.message.includes('appendfsync');
  });
  expect(await outcome(append(broker, CHAT, minor('x')))).toBe('unavailable');
  await raw.config('SET', 'appendfsync', 'always');
  await eventually(async () => (await outcome(append(broker, CHAT, minor('b')))) === 'accepted');
  expect(broker.health().state).toBe('ready');
});

// Blobs on a real Redis: where their keys are, how long they live, what a full server does, and damage.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BLOB_CHUNK_BYTES, type BlobOwner, type BlobStore } from '../../../src/broker/blobs.ts';
import { RedisServer } from '../../support/redis-server.ts';
import { outcome, topicName } from '../contract/subject.ts';
import { RedisStore } from './redis-store.ts';

const OWNER: BlobOwner = { topic: topicName('chat/one'), generation: 'g1' };
const TEXT = Buffer.from('a secret of the chat. '.repeat(20_000));

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.close());

async function save(blobs: BlobStore, id: string, keepMs?: number): Promise<void> {
  const writer = await blobs.begin(OWNER, id, keepMs);
  for (let at = 0; at < TEXT.length; at += BLOB_CHUNK_BYTES)
    await writer.write(TEXT.subarray(at, at + BLOB_CHUNK_BYTES));
  await writer.seal('{}');
}

test('every key of a blob has the slot of its topic and the given time to live, and a longer one on request', async () => {
  const store = new RedisStore(server);
  const { blobs } = await store.open();
  await save(blobs, 'a', 60_000);
  const redis = store.raw();
  const tag = store.keys.tag(store.keys.partitionOf(OWNER.topic));
  const [blob, ids] = [`${tag}:b:chat/one~g1:a`, `${tag}:bi:chat/one~g1`];
  const keys = (await redis.keys(`*${store.prefix}*`)).filter((key) => /:b[oi]?\b/.test(key));
  expect(keys.sort()).toEqual([blob, ids, `${tag}:bo`].sort());
  for (const key of [blob, ids]) expect(await redis.pttl(key)).toBeLessThanOrEqual(60_000);
  for (const key of [blob, ids]) expect(await redis.pttl(key)).toBeGreaterThan(0);
  await blobs.keep(OWNER, 10 * 60_000);
  for (const key of [blob, ids]) expect(await redis.pttl(key)).toBeGreaterThan(60_000);
  await blobs.keep(OWNER, undefined);
  for (const key of [blob, ids]) expect(await redis.pttl(key)).toBe(-1);
});

test('no value of a blob is above its chunk, and none is left after its removal', async () => {
  const store = new RedisStore(server);
  const { blobs } = await store.open();
  await save(blobs, 'a');
  await (await blobs.begin(OWNER, 'b')).write(TEXT.subarray(0, 1000));
  const redis = store.raw();
  const tag = store.keys.tag(store.keys.partitionOf(OWNER.topic));
  const values = await redis.hvals(`${tag}:b:chat/one~g1:a`);
  expect(Math.max(...values.map((value) => value.length))).toBeLessThan(2 * BLOB_CHUNK_BYTES);
  await blobs.removeAll(OWNER);
  expect((await redis.keys(`*${store.prefix}*`)).filter((key) => /:b[oi]?\b/.test(key))).toEqual([]);
});

test('a blob whose keys ended by their own time is missing, and its owner can still be found and removed', async () => {
  const store = new RedisStore(server);
  const { blobs } = await store.open();
  await save(blobs, 'a', 60_000);
  const redis = store.raw();
  const tag = store.keys.tag(store.keys.partitionOf(OWNER.topic));
  await redis.del(`${tag}:b:chat/one~g1:a`, `${tag}:bi:chat/one~g1`);
  expect([await blobs.open(OWNER, 'a'), (await blobs.owners(10)).owners]).toEqual([
    undefined,
    [{ ...OWNER, changedAt: 0 }],
  ]);
  await blobs.removeAll(OWNER);
  expect((await blobs.owners(10)).owners).toEqual([]);
});

test('a changed or a missing chunk is refused as corrupt', async () => {
  const store = new RedisStore(server);
  const { blobs } = await store.open();
  await save(blobs, 'a');
  const redis = store.raw();
  const key = `${store.keys.tag(store.keys.partitionOf(OWNER.topic))}:b:chat/one~g1:a`;
  await redis.hset(key, '0', ((await redis.hget(key, '0')) ?? '').replace('secret', 'Secret'));
  await redis.hdel(key, '1');
  const blob = await blobs.open(OWNER, 'a');
  for (const index of [0, 1]) expect(await outcome(blob?.chunk(index) ?? Promise.resolve())).toBe('corrupt');
});

test('a full server refuses chunks with disk-full, and still removes blobs', async () => {
  const store = new RedisStore(server);
  const { blobs } = await store.open();
  await save(blobs, 'a');
  const redis = store.raw();
  await redis.config('SET', 'maxmemory', '1mb');
  try {
    expect(await outcome(save(blobs, 'b'))).toBe('disk-full');
    await blobs.removeAll(OWNER);
    expect(await blobs.list(OWNER)).toEqual([]);
  } finally {
    await redis.config('SET', 'maxmemory', '0');
  }
});

// A Redis that comes back with less data, or with other data: the epoch changes, and readers receive a reset.
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { BrokerEngine, ReadResult } from '../../../src/broker/broker.ts';
import { RECHECK_MS } from '../../../src/broker/redis/connection/jitter.ts';
import {
  CHAT,
  CollectedTail,
  QUEUE,
  append,
  infoOf,
  major,
  minor,
  nextOf,
  outcome,
  readLines,
  topicName,
} from '../contract/subject.ts';
import { TestWorker } from '../contract/worker.ts';
import { eventually } from '../../support/wait-for.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { RedisServer, type RedisOptions } from '../../support/redis-server.ts';
import { RedisStore } from './redis-store.ts';

let shared: RedisServer;
beforeAll(async () => {
  shared = await RedisServer.start();
});
afterAll(() => shared.close());

async function ownServer(options: RedisOptions = {}): Promise<RedisServer> {
  const server = await RedisServer.start(options);
  onTestFinished(() => server.close());
  return server;
}

const healthy = (broker: BrokerEngine): Promise<void> => eventually(() => broker.health().state === 'ready');

async function restarted(server: RedisServer, broker: BrokerEngine): Promise<void> {
  await server.kill();
  await eventually(() => broker.health().state === 'unavailable');
  await server.restart();
  await healthy(broker);
}

const reasonOf = (result: ReadResult | undefined): string | undefined =>
  result?.kind === 'reset' ? result.reason : result?.kind;

describe('a restart', () => {
  test('that loses everything ends tails, and the topic starts again in another epoch', async () => {
    const server = await ownServer();
    const broker = await new RedisStore(server).open();
    const { epoch } = await append(broker, CHAT, major('a', 'b'));
    const tail = new CollectedTail(broker, CHAT, { epoch, offset: 0 });
    await tail.reached(2);
    await restarted(server, broker);
    expect(reasonOf(await tail.verdict())).toBe('missing');
    const again = await append(broker, CHAT, major('c'));
    expect(again.epoch).not.toBe(epoch);
    expect(reasonOf(await broker.read(CHAT, { epoch, offset: 1 }))).toBe('epoch-changed');
  });

  test('refuses the next token of every run, also in a partition in which another topic was written since', async () => {
    const server = await ownServer({ appendfsync: 'everysec' });
    const broker = await new RedisStore(server).open({ promise: 'everysec', partitions: 1 });
    const topics = ['a', 'b', 'c'].map((name) => topicName(`chat/${name}`));
    const begun = await Promise.all(topics.map((topic) => append(broker, topic, major('a'), { takeFence: true })));
    const tokens = (seq: number): Promise<string>[] =>
      topics.slice(0, 2).map((topic, i) => {
        const epoch = begun[i]?.epoch ?? '';
        return outcome(append(broker, topic, minor('token'), { expect: { epoch }, fence: { fence: 0, seq } }));
      });
    expect(await Promise.all(tokens(1))).toEqual(['accepted', 'accepted']);
    await restarted(server, broker);
    expect(await Promise.all(tokens(2))).toEqual(['epoch-changed', 'epoch-changed']);
    await append(broker, topicName('chat/c'), major('begins the era'));
    expect(await Promise.all(tokens(2))).toEqual(['epoch-changed', 'epoch-changed']);
  });

  test('that may have lost the last second changes every epoch at the first write, and keeps the remaining records', async () => {
    const server = await ownServer({ appendfsync: 'everysec' });
    const broker = await new RedisStore(server).open({ promise: 'everysec' });
    const { epoch } = await append(broker, CHAT, major('a'), { takeFence: true });
    const fenced = { expect: { epoch }, fence: { fence: 0, seq: 1 } };
    await append(broker, CHAT, minor('b'), fenced);
    const tail = new CollectedTail(broker, CHAT, { epoch, offset: 0 });
    await tail.reached(2);
    await restarted(server, broker);
    // A retry is refused too, because the acknowledged records may be lost.
    expect(await outcome(append(broker, CHAT, minor('b'), fenced))).toBe('epoch-changed');
    const { epoch: next } = await append(broker, CHAT, minor('c'));
    expect(next).not.toBe(epoch);
    expect(next.split('-')[0]).toBe(epoch);
    expect(reasonOf(await tail.verdict())).toBe('epoch-changed');
    expect(await readLines(broker, CHAT)).toEqual(['0M:a', '1m:b', '2m:c']);
    await restarted(server, broker);
    const { epoch: third } = await append(broker, CHAT, minor('d'));
    expect(new Set([epoch, next, third]).size).toBe(3);
    expect((await infoOf(broker, CHAT)).epoch).toBe(third);
  });

  test('changes no epoch when every write is flushed, however often it happens', async () => {
    const server = await ownServer({ appendfsync: 'always' });
    const broker = await new RedisStore(server).open({ promise: 'always' });
    const { epoch } = await append(broker, CHAT, major('a'));
    for (let i = 1; i <= 2; i += 1) {
      await restarted(server, broker);
      expect(await append(broker, CHAT, minor(`${i}`), { expect: { epoch } })).toMatchObject({ first: i });
    }
  });
});

describe('a fail-over', () => {
  test('to a replica changes every epoch, even when every write was flushed', async () => {
    const master = await ownServer({ appendfsync: 'always' });
    const replica = await ownServer({ appendfsync: 'always', replicaOf: master });
    const store = new RedisStore(master);
    const broker = await store.open({ promise: { replicated: 1 } });
    const { epoch } = await append(broker, CHAT, major('a'));
    await master.kill();
    await replica.command('REPLICAOF NO ONE');
    const after = await store.open({ nodes: [replica.url], promise: 'always' });
    expect(await readLines(after, CHAT)).toEqual(['0M:a']);
    expect(await outcome(append(after, CHAT, minor('b'), { expect: { epoch } }))).toBe('epoch-changed');
    expect((await append(after, CHAT, minor('b'))).epoch).not.toBe(epoch);
    expect(reasonOf(await after.read(CHAT, { epoch, offset: 1 }))).toBe('epoch-changed');
  });

  test('is detected on the promoted server when nothing was written since the replica joined', async () => {
    const master = await ownServer({ appendfsync: 'always' });
    const store = new RedisStore(master);
    const broker = await store.open({ promise: 'always' });
    const { epoch } = await append(broker, CHAT, major('a'));
    const replica = await ownServer({ appendfsync: 'always', replicaOf: master });
    await master.kill();
    await replica.command('REPLICAOF NO ONE');
    const after = await store.open({ nodes: [replica.url], promise: 'always' });
    expect((await append(after, CHAT, minor('b'))).epoch).not.toBe(epoch);
  });

  test('an append that too few replicas have is not acknowledged, and reads still work', async () => {
    const master = await ownServer();
    const replica = await ownServer({ replicaOf: master });
    const broker = await new RedisStore(master).open({ promise: { replicated: 1 } });
    const { epoch } = await append(broker, CHAT, major('a'), { takeFence: true });
    replica.freeze();
    const fenced = { expect: { epoch }, fence: { fence: 0, seq: 1 } };
    const short = outcome(append(broker, CHAT, minor('b'), fenced));
    expect(await readLines(broker, CHAT, { epoch, offset: 0 }, { majorOnly: true })).toEqual(['0M:a']);
    expect(await short).toBe('unavailable');
    replica.thaw();
    expect(await append(broker, CHAT, minor('b'), fenced)).toEqual({ epoch, first: 1, next: 2 });
    expect(await readLines(broker, CHAT)).toEqual(['0M:a', '1m:b']);
  });
});

describe('keys that another program changed', () => {
  async function flushedUnderATail(): Promise<{
    readonly broker: BrokerEngine;
    readonly clock: ManualClock;
    readonly tail: CollectedTail;
  }> {
    const server = await ownServer();
    const clock = new ManualClock();
    const broker = await new RedisStore(server).open({ clock, clockDecides: true });
    const { epoch } = await append(broker, CHAT, major('a'));
    const tail = new CollectedTail(broker, CHAT, { epoch, offset: 0 });
    await tail.reached(1);
    await server.command('FLUSHALL');
    return { broker, clock, tail };
  }

  test('FLUSHALL during a tail is detected by the periodic check, without a message', async () => {
    const { clock, tail } = await flushedUnderATail();
    await clock.advance(2 * RECHECK_MS);
    expect(reasonOf(await tail.verdict())).toBe('missing');
  });

  test('after FLUSHALL a reader of the old epoch never receives the same offsets of the new one', async () => {
    const { broker, tail } = await flushedUnderATail();
    await append(broker, CHAT, major('other', 'words'));
    expect(reasonOf(await tail.verdict())).toBe('epoch-changed');
    expect(tail.lines).toEqual(['0M:a']);
  });

  test('a topic without its hash is missing, and starts again without its old records', async () => {
    const store = new RedisStore(shared);
    const broker = await store.open();
    const { epoch } = await append(broker, CHAT, [...major('a'), ...minor('b')]);
    await store.raw().del(store.key('meta', CHAT));
    expect(await broker.read(CHAT, 'earliest')).toEqual({ kind: 'missing' });
    const again = await append(broker, CHAT, minor('new'));
    expect(again).toMatchObject({ first: 0 });
    expect(again.epoch).not.toBe(epoch);
    expect(await readLines(broker, CHAT)).toEqual(['0m:new']);
  });

  test.each([
    ['majors', false],
    ['majors', true],
    ['minors', false],
  ] as const)('a topic whose %s are gone is an undeclared hole (majorOnly: %s)', async (kind, majorOnly) => {
    const store = new RedisStore(shared);
    const broker = await store.open();
    const { epoch } = await append(broker, CHAT, [...minor('0'), ...major('1'), ...minor('2')]);
    await store.raw().del(store.key(kind, CHAT));
    for (const direction of ['forward', 'backward'] as const) {
      const from = kind === 'majors' ? 1 : direction === 'forward' ? 0 : 2;
      expect(reasonOf(await broker.read(CHAT, { epoch, offset: from }, { direction, majorOnly }))).toBe(
        'undeclared-hole',
      );
    }
  });

  test('a trimmed record leads to a reset after the records before it', async () => {
    const store = new RedisStore(shared);
    const broker = await store.open();
    const { epoch } = await append(broker, CHAT, minor('0', '1', '2', '3'));
    await store.raw().xdel(store.key('minors', CHAT), '3-0');
    const reader = broker
      .tail(CHAT, { epoch, offset: 0 }, { signal: new AbortController().signal })
      [Symbol.asyncIterator]();
    expect(await nextOf(reader)).toMatchObject({ kind: 'batch', next: 2, end: false });
    expect(reasonOf(await nextOf(reader))).toBe('undeclared-hole');
  });

  test('a partition that lost its history key begins a new era', async () => {
    const store = new RedisStore(shared);
    const broker = await store.open();
    const { epoch } = await append(broker, CHAT, major('a'));
    await store.raw().del(store.historyKey(CHAT));
    expect(await outcome(append(broker, CHAT, major('b'), { expect: { epoch } }))).toBe('epoch-changed');
    expect((await append(broker, CHAT, major('b'))).epoch).not.toBe(epoch);
  });

  test('records are delivered again when a shorter history gives their offsets a second time', async () => {
    const store = new RedisStore(shared);
    const broker = await store.open();
    await append(broker, QUEUE, major('0', '1', '2'));
    const worker = new TestWorker(broker);
    for (const wanted of ['0:0', '1:1', '2:2']) expect(await worker.done()).toBe(`${QUEUE} ${wanted}`);
    // Simulates the promotion of a server that lacks the last two records.
    const raw = store.raw();
    await raw.xdel(store.key('majors', QUEUE), '2-0', '3-0');
    await raw.xsetid(store.key('majors', QUEUE), '1-0');
    await raw.hset(store.key('meta', QUEUE), 'n', 1, 'M', 0);
    await raw.hset(store.historyKey(QUEUE), 'id', 'of another server');
    await append(broker, QUEUE, major('again 1'));
    expect(await worker.done()).toBe(`${QUEUE} 1:again 1`);
  });

  test('a key of another type is reported as corrupt, and an append to several topics writes none of them', async () => {
    const store = new RedisStore(shared);
    const broker = await store.open();
    await append(broker, CHAT, major('a'));
    await append(broker, QUEUE, major('q'));
    const before = await broker.describe([CHAT, QUEUE]);
    await store.raw().set(store.key('minors', QUEUE), 'foreign');
    const writes = [
      { topic: CHAT, records: major('b'), expect: { create: true } as const },
      { topic: QUEUE, records: minor('x'), expect: { create: true } as const },
    ];
    expect(await outcome(broker.append(writes))).toBe('corrupt');
    expect(await broker.describe([CHAT, QUEUE])).toEqual(before);
    expect(await readLines(broker, CHAT)).toEqual(['0M:a']);
    await store.raw().set(store.key('meta', CHAT), 'foreign');
    expect(await outcome(broker.read(CHAT, 'earliest'))).toBe('corrupt');
    expect(await outcome(append(broker, CHAT, major('c')))).toBe('corrupt');
  });
});

// Forks on every engine: a fork has the records of its source up to its place, and is a stream of its own from then on;
// a removed stream keeps its name while forks of it live.
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { BrokerEngine } from '../../src/broker/broker.ts';
import type { LiteTopicName } from '../../src/broker/lite-topic.ts';
import { beginningOf, FORK_RECORDS_MAX, inheritedBy } from '../../src/durable-streams/fork-copy.ts';
import { FORKS_MAX, StreamForks } from '../../src/durable-streams/stream-forks.ts';
import { StreamLog } from '../../src/durable-streams/stream-log.ts';
import { encodeAppend, type LoadedStream, type StreamConfig } from '../../src/durable-streams/stream-records.ts';
import { resolveOffset } from '../../src/durable-streams/stream-reads.ts';
import { streamForksTopic, streamTopic } from '../../src/session/topic-names.ts';
import { allTopics, ENGINES, type OpenEngine } from '../support/each-engine.ts';
import { RedisServer } from '../support/redis-server.ts';
import { wrapBroker } from '../support/wrapped-broker.ts';

const CONFIG: StreamConfig = { name: 'a', type: 'text/plain' };
const NONE = Buffer.alloc(0);
const named = (name: string): LiteTopicName => streamTopic({ tenant: 'acme', user: 'ann' }, name);
const A = named('a');
const B = named('b');
const C = named('c');

let redis: RedisServer;
beforeAll(async () => {
  redis = await RedisServer.start();
});
afterAll(() => redis.close());

async function openRig(open: OpenEngine, wrap = (broker: BrokerEngine): BrokerEngine => broker) {
  const { broker, clock } = await open(redis);
  onTestFinished(() => broker.close());
  const log = new StreamLog({ broker: wrap(broker), clock, quotaOf: () => undefined });
  const forks = new StreamForks({ broker: wrap(broker), clock, streamLog: log, registerOf: streamForksTopic });
  const load = async (topic: LiteTopicName): Promise<LoadedStream> => {
    const stream = await log.load(topic);
    if (stream === undefined) throw new Error('no stream');
    return stream;
  };
  const append = (topic: LiteTopicName, ...texts: string[]): Promise<unknown> =>
    texts.reduce(
      (done: Promise<unknown>, text) =>
        done.then(() => log.change(topic, () => ({ data: Buffer.from(text), after: {}, answer: () => true }))),
      Promise.resolve(),
    );
  const fork = async (from: LiteTopicName, topic: LiteTopicName, { count = -1, more = '', ttl = 0 } = {}) => {
    const source = await load(from);
    const at = count < 0 ? source.tail : count;
    const origin = { source: from, epoch: source.epoch, subOffset: 0, inherited: inheritedBy(source, at) };
    return forks.fork(source, {
      topic,
      config: { ...CONFIG, fork: origin, ...(ttl === 0 ? {} : { ttl }) },
      count: at,
      appends: more === '' ? [] : [Buffer.from(more)],
      state: {},
    });
  };
  const textOf = async (topic: LiteTopicName, from = 0): Promise<string> => {
    const stream = await load(topic);
    let text = '';
    for (let count = from; count < stream.tail;) {
      const chunk = await log.read(stream, count);
      if (typeof chunk === 'string') throw new Error(chunk);
      text += Buffer.concat(chunk.appends).toString();
      count = chunk.next;
    }
    return text;
  };
  const remove = async (topic: LiteTopicName): Promise<void> => forks.remove(await load(topic));
  return { broker, clock, log, forks, load, append, fork, textOf, remove };
}

describe.each(ENGINES)('forks on %s', (_name, open) => {
  it('have what their source had, under the same tokens, and nothing that comes later', async () => {
    const { log, load, append, fork, textOf } = await openRig(open);
    await log.create(A, CONFIG, {}, Buffer.from('a'));
    await append(A, 'b'.repeat(1_000_000), 'c');
    const { epoch, tail } = await load(A);
    expect(await fork(A, B, { more: '!' })).toBeUndefined();
    await append(A, 'later');
    await append(B, 'own');
    expect(await textOf(B)).toBe(`a${'b'.repeat(1_000_000)}c!own`);
    const copy = await load(B);
    expect(resolveOffset(copy, { epoch, count: tail })).toBe(tail);
    expect(await textOf(B, tail)).toBe('!own');
    expect(resolveOffset(copy, { epoch, count: tail + 1 })).toBe('gone');
    // A fork of a fork honours the tokens of both.
    expect(await fork(B, C)).toBeUndefined();
    expect(resolveOffset(await load(C), { epoch, count: tail })).toBe(tail);
    expect(resolveOffset(await load(C), { epoch: copy.epoch, count: copy.tail })).toBe(copy.tail);
    expect(await textOf(C)).toBe(await textOf(B));
  });

  it('are made at any token between appends, and at none inside one', async () => {
    const { log, append, fork, textOf } = await openRig(open);
    await log.create(A, CONFIG, {}, Buffer.from('a'));
    await append(A, 'b'.repeat(600_000), 'c');
    for (const [count, text] of [
      [0, ''],
      [1, 'a'],
      [3, `a${'b'.repeat(600_000)}`],
    ] as const) {
      const topic = named(`at ${count}`);
      expect(await fork(A, topic, { count })).toBeUndefined();
      expect(await textOf(topic)).toBe(text);
    }
    expect(await fork(A, C, { count: 2 })).toBe('inside');
    expect(await log.load(C)).toBeUndefined();
  });

  it('are copied in several appends, and stay hidden until the last one', async () => {
    const states: unknown[] = [];
    const watch: { log?: StreamLog } = {};
    const { broker, clock, log, fork, textOf, load } = await openRig(open, (inner) =>
      wrapBroker(inner, {
        append: async (writes) => {
          const done = await inner.append(writes);
          if (writes[0]?.topic === B) states.push((await watch.log?.load(B))?.tail);
          return done;
        },
      }),
    );
    watch.log = new StreamLog({ broker, clock, quotaOf: () => undefined });
    await log.create(A, CONFIG, {}, NONE);
    const { epoch } = await load(A);
    const records = Array.from({ length: 1000 }, (_, i) => encodeAppend(Buffer.from(`${i},`), {})).flat();
    for (let i = 0; i < 3; i += 1) await broker.append([{ topic: A, records, expect: { epoch } }]);
    expect(await fork(A, B)).toBeUndefined();
    expect(states.length).toBeGreaterThan(2);
    expect(states.slice(0, -1).every((one) => one === undefined)).toBe(true);
    expect(states.at(-1)).toBe(3000);
    expect(await textOf(B)).toBe(await textOf(A));
    // The short life of an incomplete copy does not stay.
    await clock.advance(3_600_000);
    expect((await load(B)).tail).toBe(3000);
  });

  it('end by themselves when their copy is interrupted', async () => {
    let isAway = false;
    const { broker, clock, log, fork, load, forks } = await openRig(open, (inner) =>
      wrapBroker(inner, {
        append: async (writes) => {
          if (isAway && writes[0]?.topic === B) {
            const [info] = await inner.describe([B]);
            if (info !== undefined) return new Promise<never>(() => undefined);
          }
          return inner.append(writes);
        },
      }),
    );
    await log.create(A, CONFIG, {}, NONE);
    const { epoch } = await load(A);
    const records = Array.from({ length: 1000 }, (_, i) => encodeAppend(Buffer.from(`${i},`), {})).flat();
    for (let i = 0; i < 2; i += 1) await broker.append([{ topic: A, records, expect: { epoch } }]);
    isAway = true;
    void fork(A, B);
    await expect.poll(async () => (await broker.describe([B]))[0]?.next).toBeGreaterThan(0);
    const other = new StreamLog({ broker, clock, quotaOf: () => undefined });
    expect(await other.load(B)).toBeUndefined();
    expect(await other.create(B, CONFIG, {}, NONE)).toBeUndefined();
    await clock.advance(61_000);
    await expect.poll(async () => (await broker.describe([B]))[0]).toBeUndefined();
    expect(await other.create(B, CONFIG, {}, NONE)).toBeDefined();
    // The entry of the fork that never was keeps no name.
    await forks.remove(await load(A));
    expect(await forks.isKept(A)).toBe(false);
  });

  it('keep the names of removed streams, through forks of forks, and free them', async () => {
    const { broker, log, forks, fork, textOf, remove } = await openRig(open);
    await log.create(A, CONFIG, {}, Buffer.from('a'));
    await fork(A, B, { more: 'b' });
    await fork(B, C, { more: 'c' });
    expect(await forks.isKept(A)).toBe(false);
    await remove(A);
    expect(await forks.isKept(A)).toBe(true);
    await remove(B);
    expect([await forks.isKept(A), await forks.isKept(B)]).toEqual([true, true]);
    expect(await textOf(C)).toBe('abc');
    await remove(C);
    expect([await forks.isKept(A), await forks.isKept(B), await forks.isKept(C)]).toEqual([false, false, false]);
    expect(await allTopics(broker, 'ds-forks')).toEqual([]);
    expect(await allTopics(broker, 'ds')).toEqual([]);
  });

  it('free the name when they expire, or when another stream has their name', async () => {
    const { clock, log, forks, fork, load, remove } = await openRig(open);
    await log.create(A, CONFIG, {}, NONE);
    await fork(A, B, { ttl: 60 });
    await remove(A);
    expect(await forks.isKept(A)).toBe(true);
    await clock.advance(61_000);
    await expect.poll(() => log.load(B)).toBeUndefined();
    // A stream that has the fork's name is not the fork.
    await log.create(B, CONFIG, {}, NONE);
    expect(await forks.isKept(A)).toBe(false);
    await log.create(A, CONFIG, {}, NONE);
    expect((await load(A)).tail).toBe(0);
  });
});

describe('the bounds of forks', () => {
  const [, open] = ENGINES[0] ?? [];
  if (open === undefined) throw new Error('no engine');

  it('allow a stream so many that live, and count none that is gone', async () => {
    const { log, fork, remove } = await openRig(open);
    await log.create(A, CONFIG, {}, NONE);
    for (let i = 0; i < FORKS_MAX; i += 1) expect(await fork(A, named(`f${i}`))).toBeUndefined();
    expect(await fork(A, B)).toBe('too-many');
    expect(await log.load(B)).toBeUndefined();
    await remove(named('f7'));
    expect(await fork(A, B)).toBeUndefined();
  });

  it('refuse a copy of more than they say', async () => {
    const { broker, log, fork, load } = await openRig(open);
    await log.create(A, CONFIG, {}, NONE);
    const { epoch } = await load(A);
    const records = Array.from({ length: 1000 }, () => encodeAppend(Buffer.from('x'), {})).flat();
    for (let i = 0; i <= FORK_RECORDS_MAX / 1000; i += 1)
      await broker.append([{ topic: A, records, expect: { epoch } }]);
    expect(await fork(A, B)).toBe('too-large');
    expect(await log.load(B)).toBeUndefined();
  });

  it('count the beginning of an append in bytes, or in messages of JSON', () => {
    const append = Buffer.from('{"a":1},{"b":[2,3]},4');
    expect(beginningOf(append, 'application/json', 2)?.toString()).toBe('{"a":1},{"b":[2,3]}');
    expect(beginningOf(append, 'application/json', 4)).toBeUndefined();
    expect(beginningOf(append, 'text/plain', 4)?.toString()).toBe('{"a"');
    expect(beginningOf(append, 'text/plain', append.length + 1)).toBeUndefined();
  });
});

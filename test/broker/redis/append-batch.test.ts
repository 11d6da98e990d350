// Appends of tokens on Redis travel together: each keeps its own outcome, what is stored is what the script with all
// the rules stores, and the order of appends to one topic is that in which they were made.
import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { Appended, BrokerEngine, TopicWrite } from '../../../src/broker/broker.ts';
import { isBrokerError } from '../../../src/broker/errors.ts';
import { parseTopicPattern, type LiteTopicName } from '../../../src/broker/lite-topic.ts';
import { AppendLanes } from '../../../src/broker/redis/append-lanes.ts';
import { BATCH_WRITES_MAX } from '../../../src/broker/redis/commands/append-batch.ts';
import { RedisKeys } from '../../../src/broker/redis/keys.ts';
import type { RedisReply } from '../../../src/broker/redis/connection/redis-commands.ts';
import { CollectedTail, major, minor, topicName } from '../contract/subject.ts';
import { accountOf } from '../contract/quota.ts';
import type { Clock, Timer } from '../../../src/base/clock.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { RedisServer } from '../../support/redis-server.ts';
import { eventually } from '../../support/wait-for.ts';
import { RedisStore } from './redis-store.ts';

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.close());

interface Run {
  readonly topic: LiteTopicName;
  readonly epoch: string;
  readonly fence: number;
}

/** A topic whose fence was taken. */
async function begin(broker: BrokerEngine, topic: LiteTopicName, rest: Partial<TopicWrite> = {}): Promise<Run> {
  const [made] = await broker.append([
    { topic, expect: { create: true }, records: major('begin'), takeFence: true, ...rest },
  ]);
  return { topic, epoch: made?.epoch ?? '', fence: made?.first ?? -1 };
}

function token({ topic, epoch, fence }: Run, seq: number, ...data: readonly string[]): TopicWrite {
  return { topic, expect: { epoch }, fence: { fence, seq }, records: minor(...data) };
}

type Outcome = Appended | string;

/** In one turn of the event loop, so that those which may travel together do. */
async function appendAll(broker: BrokerEngine, writes: readonly TopicWrite[]): Promise<Outcome[]> {
  const results = await Promise.allSettled(writes.map((write) => broker.append([write])));
  return results.map((result) => {
    if (result.status === 'fulfilled') return result.value[0] ?? 'nothing';
    if (!isBrokerError(result.reason)) throw result.reason;
    return result.reason.code;
  });
}

/** Everything that the store has, by key, without the names of the store and of its era. */
async function contents(redis: Redis, store: RedisStore): Promise<Record<string, unknown>> {
  const all: Record<string, unknown> = {};
  const eras = new Set<string>();
  for (const key of (await redis.keys(`{${store.prefix}:*`)).sort()) {
    const kind = await redis.type(key);
    if (key.endsWith(':life')) eras.add((await redis.hget(key, 'era')) ?? '');
    else if (kind === 'hash') all[key] = await redis.hgetall(key);
    else if (kind === 'stream') all[key] = await redis.xrange(key, '-', '+');
    else if (kind === 'zset') all[key] = await redis.zrange(key, '0', '-1', 'WITHSCORES');
    else if (kind === 'set') all[key] = (await redis.smembers(key)).sort();
    else all[key] = await redis.get(key);
  }
  let text = JSON.stringify(all).replaceAll(store.prefix, 'store');
  for (const era of eras) text = text.replaceAll(era, 'era');
  // An account's figures have a version of the server's clock.
  text = text.replaceAll(/"(-?\d+ -?\d+) \d{10,}"/g, '"$1 version"');
  return JSON.parse(text) as Record<string, unknown>;
}

/** The calls of scripts so far. */
async function scriptsOf(redis: Redis): Promise<number> {
  return Number(/cmdstat_evalsha:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1] ?? 0);
}

const KINDS: readonly Partial<TopicWrite>[] = [
  {},
  { ttlMs: 60_000 },
  { ttlMs: 120_000, ttlMode: 'reader' },
  { ttlMs: 90_000, ttlMode: 'absolute' },
  { ttlMs: 60_000, hardMaxMs: 100_000 },
];

const wish = fc.record({
  topic: fc.nat(KINDS.length),
  seqs: fc.constantFrom(0, 0, 0, 0, 1, -1),
  fence: fc.constantFrom(0, 0, 0, 0, 0, 1),
  epoch: fc.constantFrom('', '', '', '', '', 'other'),
  records: fc.array(fc.constantFrom('', 'a', 'token', '€', '𝄞 x', '\n\n'), { minLength: 0, maxLength: 3 }),
  hasMajor: fc.constantFrom(false, false, false, false, true),
});
type Wish = typeof wish extends fc.Arbitrary<infer W> ? W : never;

const step = fc.oneof(
  { arbitrary: fc.record({ wishes: fc.array(wish, { minLength: 1, maxLength: 8 }) }), weight: 5 },
  { arbitrary: fc.record({ passes: fc.constantFrom(1, 1_000, 59_000, 61_000, -30_000) }), weight: 1 },
);

/** Time that tests move, and by which nothing is due: the sweep of one store could come before that of the other. */
class StillClock implements Clock {
  #time = Date.UTC(2026, 0, 1);

  now(): number {
    return this.#time;
  }

  mono(): number {
    return 0;
  }

  after(): Timer {
    return { cancel: () => undefined };
  }

  advance(ms: number): void {
    this.#time += ms;
  }
}

interface RunStore {
  readonly store: RedisStore;
  readonly broker: BrokerEngine;
  /** One of each kind, and one whose topic does not exist. */
  readonly runs: readonly Run[];
}

async function runStore(clock: Clock): Promise<RunStore> {
  const store = new RedisStore(server);
  let epochs = 0;
  const broker = await store.open({ clock, clockDecides: true, accountOf, newEpoch: () => `e${(epochs += 1)}` });
  const runs: Run[] = [];
  for (const [i, kind] of KINDS.entries())
    runs.push(await begin(broker, topicName(i % 2 === 0 ? `chat/t:${i}` : `chat/${i}`), kind));
  return { store, broker, runs: [...runs, { topic: topicName('chat/missing'), epoch: 'e', fence: 0 }] };
}

/** Makes writes of wishes. Most of them have the seq that is next. */
class Writes {
  readonly #runs: readonly Run[];
  readonly #lastSeqs: number[] = [];

  constructor(runs: readonly Run[]) {
    this.#runs = runs;
  }

  of(wishes: readonly Wish[]): TopicWrite[] {
    return wishes.flatMap(({ topic, seqs, fence, epoch, records, hasMajor }) => {
      const run = this.#runs[topic];
      if (run === undefined) return [];
      const seq = Math.max(1, (this.#lastSeqs[topic] ?? 0) + 1 + seqs);
      if (seqs === 0 && fence === 0 && epoch === '') this.#lastSeqs[topic] = seq;
      const made = token({ topic: run.topic, epoch: run.epoch + epoch, fence: run.fence + fence }, seq, ...records);
      return [hasMajor ? { ...made, records: [...made.records, ...major('M')] } : made];
    });
  }
}

/** A write that supersedes nothing is what it would be without that, and the script with all the rules takes it. */
async function appendEach(broker: BrokerEngine, writes: readonly TopicWrite[]): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const write of writes) outcomes.push(...(await appendAll(broker, [{ ...write, supersedes: [] }])));
  return outcomes;
}

describe('a batch', () => {
  test('answers and stores what the script with all the rules does, one append after another', async () => {
    const redis = new RedisStore(server).raw();
    const property = fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
      const clock = new StillClock();
      const [together, alone] = [await runStore(clock), await runStore(clock)];
      const made = new Writes(together.runs);
      for (const one of steps) {
        if ('passes' in one) {
          clock.advance(one.passes);
        } else {
          const writes = made.of(one.wishes);
          expect(await appendAll(together.broker, writes)).toEqual(await appendEach(alone.broker, writes));
        }
      }
      expect(await contents(redis, together.store)).toEqual(await contents(redis, alone.store));
      await Promise.all([together.broker.close(), alone.broker.close()]);
    });
    await fc.assert(property, { numRuns: 60 });
  });

  test('does each of its appends, or refuses it, whatever becomes of the others', async () => {
    const store = new RedisStore(server);
    const broker = await store.open();
    const runs = await Promise.all(
      ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => begin(broker, topicName(`chat/${name}`), { ttlMs: 60_000 })),
    );
    const [a, b, c, d, e, f] = runs as [Run, Run, Run, Run, Run, Run];
    await store.raw().set(store.key('minors', c.topic), 'of another program');
    const writes = [
      token(c, 1, 'c'),
      token(a, 1, 'a'),
      token({ ...b, fence: 7 }, 1, 'b'),
      token({ ...d, epoch: 'other' }, 1, 'd'),
      token(e, 2, 'e'),
      token(f, 1, 'f', 'ff'),
      token(f, 2, 'fff'),
    ];
    const outcomes = await appendAll(broker, writes);
    expect(
      outcomes.map((outcome) => (typeof outcome === 'string' ? outcome : `${outcome.first}-${outcome.next}`)),
    ).toEqual(['corrupt', '1-2', 'fenced', 'epoch-changed', 'out-of-sequence', '1-3', '3-4']);
    const infos = await broker.describe(runs.map(({ topic }) => topic));
    expect(infos.map((info) => info?.next)).toEqual([2, 1, 1, 1, 1, 4]);
  });

  test('is one message, from which readers on another node receive their topics', async () => {
    const store = new RedisStore(server);
    const [writer, reader] = [await store.open(), await store.open()];
    const runs = await Promise.all(['a', 'b', 'c'].map((name) => begin(writer, topicName(`chat/${name}`))));
    const tails = runs.map(({ topic, epoch }) => new CollectedTail(reader, topic, { epoch, offset: 0 }));
    await Promise.all(tails.map((tail) => tail.reached(1)));
    const messages: string[] = [];
    const raw = store.raw();
    raw.on('smessage', (_channel, message: string) => messages.push(message));
    await raw.ssubscribe(store.keys.batchChannel(0));
    await appendAll(
      writer,
      runs.map((run) => token(run, 1, `of ${run.topic}`, '€')),
    );
    for (const [i, tail] of tails.entries())
      expect(await tail.reached(3)).toEqual(['0M:begin', `1m:of ${runs[i]?.topic}`, '2m:€']);
    await eventually(() => messages.length > 0);
    expect(messages).toHaveLength(1);
  });

  test('reaches a group that consumes one of its topics', async () => {
    const store = new RedisStore(server);
    const broker = await store.open();
    const run = await begin(broker, topicName('chat/grouped'));
    const abort = new AbortController();
    onTestFinished(() => abort.abort());
    const deliveries = broker.consume('g', parseTopicPattern('chat/grouped'), {
      credit: 4,
      signal: abort.signal,
      visibilityMs: 5_000,
    });
    const iterator = deliveries[Symbol.asyncIterator]();
    const first = await iterator.next();
    if (first.done !== true) await first.value.ack();
    await appendAll(broker, [token(run, 1, 'token')]);
    const second = await iterator.next();
    expect(second.done === true ? undefined : second.value.record.data).toBe('token');
  });

  test('is refused as a whole by a full server, and nothing of it is stored', async () => {
    const full = await RedisServer.start({ maxmemory: '100mb' });
    onTestFinished(() => full.close());
    const store = new RedisStore(full);
    const broker = await store.open();
    const runs = await Promise.all(['a', 'b'].map((name) => begin(broker, topicName(`chat/${name}`))));
    // The server has the script from now on.
    await appendAll(
      broker,
      runs.map((run) => token(run, 1, 'token')),
    );
    const writes = runs.map((run) => token(run, 2, 'token'));
    await store.raw().config('SET', 'maxmemory', '1mb');
    const before = await scriptsOf(store.raw());
    expect(await appendAll(broker, writes)).toEqual(['disk-full', 'disk-full']);
    expect(await scriptsOf(store.raw())).toBe(before + 1);
    expect(broker.health().state).toBe('full');
    const infos = await broker.describe(runs.map(({ topic }) => topic));
    expect(infos.map((info) => info?.next)).toEqual([2, 2]);
    await store.raw().config('SET', 'maxmemory', '0');
    expect(await appendAll(broker, writes)).toEqual([
      expect.objectContaining({ first: 2 }),
      expect.objectContaining({ first: 2 }),
    ]);
    expect(broker.health().state).toBe('ready');
  });
});

test('appends to one topic take effect in the order in which they were made, whichever way they take', async () => {
  const store = new RedisStore(server);
  const broker = await store.open();
  const run = await begin(broker, topicName('chat/order'));
  const writes = [
    token(run, 1, '1'),
    { ...token(run, 2), records: major('2') },
    token(run, 3, '3'),
    token(run, 4, '4'),
    { ...token(run, 5), records: major('5') },
    { ...token(run, 6), records: major('6') },
    token(run, 7, '7'),
  ];
  const outcomes = await appendAll(broker, writes);
  expect(outcomes.map((outcome) => (typeof outcome === 'string' ? outcome : outcome.first))).toEqual([
    1, 2, 3, 4, 5, 6, 7,
  ]);
});

test('a node that closes sends what waits, and answers it', async () => {
  const store = new RedisStore(server);
  const broker = await store.open();
  const runs = await Promise.all(['a', 'b'].map((name) => begin(broker, topicName(`chat/${name}`))));
  const outcomes = appendAll(
    broker,
    runs.map((run) => token(run, 1, 'token')),
  );
  await broker.close();
  expect(await outcomes).toEqual(runs.map(({ epoch }) => ({ epoch, first: 1, next: 2 })));
});

/** Lanes to a server that answers when the test says so. */
class HeldServer {
  readonly keys = new RedisKeys('held', 4);
  /** Writes in each call so far. */
  readonly calls: number[] = [];
  readonly #answers: ((reply: RedisReply) => void)[] = [];
  readonly lanes = new AppendLanes({
    commands: {
      keys: this.keys,
      clock: new ManualClock(),
      run: (_script, _place, args) => {
        this.calls.push((args.length - 1) / 7);
        return new Promise((resolve) => this.#answers.push(resolve));
      },
      subscribe: () => ({ close: () => undefined }),
    },
    appendAlone: () => Promise.resolve([]),
    pauseMs: 0,
  });

  append(i: number): Promise<readonly Appended[]> {
    return this.lanes.append([token({ topic: topicName(`chat/${i}`), epoch: 'e', fence: 0 }, 1, 'token')]);
  }

  answer(): void {
    const at = this.calls.length - 1;
    this.#answers[at]?.(Array.from({ length: this.calls[at] ?? 0 }, () => 1));
  }
}

describe('on the way to one server', () => {
  test('one call is under way, and the next has what came meanwhile, up to its bound', async () => {
    const held = new HeldServer();
    const all = [held.append(0), held.append(1)];
    await eventually(() => held.calls.length === 1);
    for (let i = 2; i < 3 + BATCH_WRITES_MAX; i += 1) all.push(held.append(i));
    await new Promise((resolve) => setImmediate(resolve));
    expect(held.calls).toEqual([2]);
    held.answer();
    await eventually(() => held.calls.length === 2);
    held.answer();
    await eventually(() => held.calls.length === 3);
    held.answer();
    await Promise.all(all);
    expect(held.calls).toEqual([2, BATCH_WRITES_MAX, 1]);
  });

  test('more than the bound is refused as overloaded', async () => {
    const held = new HeldServer();
    const codes = new Set<string>();
    for (let i = 0; i < 16_400; i += 1)
      held.append(i).catch((error: unknown) => codes.add(isBrokerError(error) ? error.code : String(error)));
    await eventually(() => codes.size > 0);
    expect([...codes]).toEqual(['overloaded']);
  });
});

// Tails on Redis when published messages are lost, late, repeated or malformed: tails follow the log, not the messages.
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { LogBatch, Reset, TopicInfo } from '../../../src/broker/broker.ts';
import { BrokerError, type BrokerErrorCode } from '../../../src/broker/errors.ts';
import type { LiteTopicName } from '../../../src/broker/lite-topic.ts';
import type { Position } from '../../../src/broker/position.ts';
import { decodeMessage } from '../../../src/broker/redis/watch/watch-message.ts';
import { WatchTable } from '../../../src/broker/redis/watch/watch-table.ts';
import { RECHECK_MS } from '../../../src/broker/redis/connection/jitter.ts';
import { HotRecords } from '../../../src/broker/redis/watch/hot-records.ts';
import { RedisKeys } from '../../../src/broker/redis/keys.ts';
import type { ChannelListener } from '../../../src/broker/redis/connection/redis-commands.ts';
import { TailReader } from '../../../src/broker/tail/tail-reader.ts';
import { CHAT, CollectedTail, append, lines, major, minor, nextOf } from '../contract/subject.ts';
import { eventually } from '../../support/wait-for.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { RedisServer } from '../../support/redis-server.ts';
import { RedisStore } from './redis-store.ts';

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.close());

/** A log of minor records and a channel on which only the test publishes. */
class SilentTopic {
  readonly clock = new ManualClock();
  readonly keys = new RedisKeys('silent', 1);
  readonly records: string[] = [];
  readonly asked: Position[] = [];
  /** What every read and every `describe` throws. */
  refusal: Error | undefined;
  epoch = 'e';
  expiresAt: number | undefined;
  /** Runs between a read and its answer. */
  meanwhile: (() => Promise<void>) | undefined;
  listener: ChannelListener | undefined;
  batches: ChannelListener | undefined;
  readonly table: WatchTable;

  constructor() {
    const { keys, clock } = this;
    this.table = new WatchTable({
      commands: {
        keys,
        clock,
        run: () => Promise.reject(new Error('nothing is asked here')),
        subscribe: (_partition, channel, listener) => {
          if (channel === keys.batchChannel(0)) this.batches = listener;
          else this.listener = listener;
          queueMicrotask(() => listener.subscribed());
          return { close: () => undefined };
        },
      },
      read: async (_topic, position) => {
        this.asked.push(position);
        if (this.refusal !== undefined) throw this.refusal;
        const { expiresAt } = this;
        const result = this.#isOver ? this.#ended('expired') : this.#read(position);
        await this.meanwhile?.();
        return { result, expiresAt };
      },
      describe: async (topics) => {
        if (this.refusal !== undefined) throw this.refusal;
        return topics.map((topic) => (this.#isOver ? undefined : this.#info(topic)));
      },
      mustBeOpen: () => undefined,
    });
    onTestFinished(() => this.table.close());
  }

  publish(first: number, ...data: readonly string[]): void {
    const head = `add ${this.epoch} ${first} ${first + data.length} -1 - 0 ${'m'.repeat(data.length)} ${data.map((text) => Buffer.byteLength(text)).join(',')}\n`;
    this.listener?.message(Buffer.from(head + data.join('')));
  }

  /** A batch with one record of the topic, behind one of a topic that nobody follows. */
  publishBatch(first: number, data: string): void {
    const lines = [
      `chat/other 5 e 0 - 5`,
      `${CHAT} ${Buffer.byteLength(data)} ${this.epoch} ${first} - ${Buffer.byteLength(data)}`,
    ];
    this.batches?.message(Buffer.from(`${lines.join('\n')}\n\nother${data}`));
  }

  tail(offset: number): TailReader {
    const abort = new AbortController();
    onTestFinished(() => abort.abort());
    return new TailReader(this.table.source(CHAT), { epoch: 'e', offset }, { signal: abort.signal });
  }

  #info(topic: LiteTopicName): TopicInfo {
    return {
      topic,
      epoch: this.epoch,
      earliest: 0,
      next: this.records.length,
      lastMajor: -1,
      fence: -1,
      bytes: 0,
    };
  }

  get #isOver(): boolean {
    return this.expiresAt !== undefined && this.expiresAt <= this.clock.now();
  }

  #ended(reason: Reset['reason']): Reset {
    return { kind: 'reset', reason, epoch: this.epoch, earliest: 0, next: this.records.length };
  }

  #read({ epoch, offset }: Position): LogBatch | Reset {
    const next = this.records.length;
    if (epoch !== this.epoch) return this.#ended('epoch-changed');
    const items = this.records
      .slice(offset)
      .map((data, i) => ({ kind: 'record', offset: offset + i, major: false, data }) as const);
    return { kind: 'batch', epoch, items, next, end: true };
  }
}

async function read(tail: TailReader): Promise<string[]> {
  const result = await nextOf(tail);
  return result.kind === 'batch' ? lines(result.items) : [result.kind];
}

describe('a tail', () => {
  const RETRYABLE: BrokerErrorCode[] = ['unavailable', 'overloaded', 'disk-full'];

  test.each(RETRYABLE)('reads the log again when a read was refused with %s', async (code) => {
    const topic = new SilentTopic();
    topic.records.push('0');
    topic.refusal = new BrokerError(code, 'refused');
    const waiting = read(topic.tail(0));
    await eventually(() => topic.asked.length === 1);
    topic.refusal = undefined;
    await topic.clock.advance(1000);
    expect(await waiting).toEqual(['0m:0']);
  });

  test.each(RETRYABLE)('keeps its place when a comparison was refused with %s, and is compared again', async (code) => {
    const topic = new SilentTopic();
    topic.records.push('0');
    const tail = topic.tail(0);
    await read(tail);
    const waiting = read(tail);
    const before = topic.asked.length;
    topic.refusal = new BrokerError(code, 'refused');
    await topic.clock.advance(2 * RECHECK_MS);
    expect(topic.asked).toHaveLength(before);
    topic.refusal = undefined;
    topic.records.push('1');
    await topic.clock.advance(1000);
    expect(await waiting).toEqual(['1m:1']);
  });

  test('receives a record without a message by the periodic comparison', async () => {
    const topic = new SilentTopic();
    topic.records.push('0');
    const tail = topic.tail(0);
    expect(await read(tail)).toEqual(['0m:0']);
    const waiting = read(tail);
    topic.records.push('1');
    await topic.clock.advance(2 * RECHECK_MS);
    expect(await waiting).toEqual(['1m:1']);
  });

  test('detects another epoch of its topic by the periodic comparison', async () => {
    const topic = new SilentTopic();
    topic.records.push('0');
    const tail = topic.tail(0);
    await read(tail);
    const waiting = read(tail);
    topic.epoch = 'f';
    await topic.clock.advance(2 * RECHECK_MS);
    expect(await waiting).toEqual(['reset']);
  });

  test('is served from contiguous messages without reading the log', async () => {
    const topic = new SilentTopic();
    const tail = topic.tail(0);
    const first = read(tail);
    await eventually(() => topic.asked.length === 1);
    for (const text of ['0', '1', '2']) {
      topic.records.push(text);
      topic.publish(Number(text), text);
    }
    const got = await first;
    while (got.length < 3) got.push(...(await read(tail)));
    expect(got).toEqual(['0m:0', '1m:1', '2m:2']);
    expect(topic.asked).toHaveLength(1);
  });

  test('is served by batches and by messages of its own topic, in the order in which they come', async () => {
    const topic = new SilentTopic();
    const tail = topic.tail(0);
    const first = read(tail);
    await eventually(() => topic.asked.length === 1);
    topic.records.push('€', '1', '\n\n', '3');
    topic.publishBatch(0, '€');
    topic.publish(1, '1');
    topic.publishBatch(2, '\n\n');
    topic.publish(3, '3');
    const got = await first;
    while (got.length < 4) got.push(...(await read(tail)));
    expect(got).toEqual(['0m:€', '1m:1', '2m:\n\n', '3m:3']);
    expect(topic.asked).toHaveLength(1);
  });

  test('reads the log after a malformed batch', async () => {
    const topic = new SilentTopic();
    const tail = topic.tail(0);
    let waiting = read(tail);
    await eventually(() => topic.asked.length === 1);
    for (const nonsense of ['', '\n\n', 'x\n\n', `${CHAT} 9 e 0 - 9\n\nshort`, `${CHAT} 1 e 0\n\nx`]) {
      topic.records.push(nonsense);
      topic.batches?.message(Buffer.from(nonsense));
      expect(await waiting).toEqual([`${topic.records.length - 1}m:${nonsense}`]);
      waiting = read(tail);
    }
    topic.records.push('end');
    topic.publishBatch(topic.records.length - 1, 'end');
    expect(await waiting).toEqual(['5m:end']);
  });

  test('reads the records of a lost message from the log', async () => {
    const topic = new SilentTopic();
    topic.records.push('0');
    const tail = topic.tail(0);
    await read(tail);
    const waiting = read(tail);
    topic.records.push('lost', '2');
    topic.publish(2, '2');
    expect(await waiting).toEqual(['1m:lost', '2m:2']);
  });

  test('ignores a repeated message and a late one', async () => {
    const topic = new SilentTopic();
    topic.records.push('0', '1', '2');
    const tail = topic.tail(0);
    expect(await read(tail)).toEqual(['0m:0', '1m:1', '2m:2']);
    const waiting = read(tail);
    topic.publish(0, '0');
    topic.publish(1, '1', '2');
    topic.publish(1, '1', '2');
    topic.records.push('3');
    topic.publish(3, '3');
    expect(await waiting).toEqual(['3m:3']);
  });

  test('receives the reset when its topic expires during a read', async () => {
    const topic = new SilentTopic();
    topic.records.push('0');
    topic.expiresAt = topic.clock.now() + 1000;
    topic.meanwhile = () => topic.clock.advance(1000);
    const tail = topic.tail(0);
    expect(await read(tail)).toEqual(['0m:0']);
    expect(await nextOf(tail)).toMatchObject({ kind: 'reset', reason: 'expired' });
  });

  test.each(['listener', 'batches'] as const)(
    'reads the log again after the subscription of its %s was renewed',
    async (which) => {
      const topic = new SilentTopic();
      topic.records.push('0');
      const tail = topic.tail(0);
      await read(tail);
      const waiting = read(tail);
      topic.records.push('while away');
      topic[which]?.subscribed();
      expect(await waiting).toEqual(['1m:while away']);
    },
  );

  test('reads the log after a malformed message', async () => {
    const topic = new SilentTopic();
    const tail = topic.tail(0);
    const waiting = read(tail);
    await eventually(() => topic.asked.length === 1);
    topic.records.push('0');
    for (const nonsense of ['', 'x', 'add', 'add e 0\n', 'del e 0 1 -1 - 0 m 1\nx'])
      topic.listener?.message(Buffer.from(nonsense));
    expect(await waiting).toEqual(['0m:0']);
  });
});

test('records that are too large for a message, and characters of every width, arrive complete', async () => {
  const store = new RedisStore(server);
  const [writer, reader] = [await store.open(), await store.open()];
  const { epoch } = await append(writer, CHAT, minor('start'));
  const tail = new CollectedTail(reader, CHAT, { epoch, offset: 0 });
  await tail.reached(1);
  const said = ['€', '', 'a\nb', '𝄞'.repeat(10), 'x'.repeat(20_000), 'after'];
  for (const text of said) await append(writer, CHAT, minor(text, 'and'));
  await append(writer, CHAT, [...major('M'), ...minor('m')]);
  const told = (await tail.reached(15)).map((line) => line.replace(/^\d+[mM]:/, ''));
  expect(told).toEqual(['start', ...said.flatMap((text) => [text, 'and']), 'M', 'm']);
});

test('the records in memory are bounded in number and in characters, and contiguous', () => {
  const hot = new HotRecords();
  let next = 0;
  const add = (data: string): void => {
    hot.add({
      kind: 'add',
      epoch: 'e',
      first: next,
      next: next + 1,
      lastMajor: -1,
      expiresAt: undefined,
      supersedes: false,
      records: [{ kind: 'record', offset: next, major: false, data }],
    });
    next += 1;
  };
  const kept = (): number => {
    for (let from = 0; ; from += 1) if (hot.from({ epoch: 'e', offset: from }, false) !== undefined) return next - from;
  };
  for (let i = 0; i < 1000; i += 1) {
    add('token');
    expect(kept()).toBeLessThanOrEqual(256);
  }
  expect(kept()).toBeGreaterThan(100);
  for (let i = 0; i < 10; i += 1) add('x'.repeat(10_000));
  expect(kept()).toBeLessThanOrEqual(4);
  add('x'.repeat(100_000));
  expect(kept()).toBe(0);
  expect(hot.from({ epoch: 'e', offset: next }, false)).toMatchObject({ items: [], end: true });
});

test('superseding drops the records in memory, so that a later reader receives the hole', () => {
  const hot = new HotRecords();
  const one = { kind: 'add', epoch: 'e', lastMajor: -1, expiresAt: undefined } as const;
  hot.add({
    ...one,
    first: 0,
    next: 1,
    supersedes: false,
    records: [{ kind: 'record', offset: 0, major: false, data: 'a' }],
  });
  hot.add({
    ...one,
    first: 1,
    next: 2,
    supersedes: true,
    records: [{ kind: 'record', offset: 1, major: false, data: 'b' }],
  });
  expect(hot.from({ epoch: 'e', offset: 0 }, false)).toBeUndefined();
  expect(hot.from({ epoch: 'e', offset: 1 }, false)?.items).toHaveLength(1);
});

test('a message carries the appended records, or the end of the topic', () => {
  expect(decodeMessage(Buffer.from('end'))).toEqual({ kind: 'end' });
  expect(decodeMessage(Buffer.from('add e-1 5 7 6 1700000000000 1 mM 3,1\n€x'))).toEqual({
    kind: 'add',
    epoch: 'e-1',
    first: 5,
    next: 7,
    lastMajor: 6,
    expiresAt: 1_700_000_000_000,
    supersedes: true,
    records: [
      { kind: 'record', offset: 5, major: false, data: '€' },
      { kind: 'record', offset: 6, major: true, data: 'x' },
    ],
  });
  expect(decodeMessage(Buffer.from('add e 5 7 -1 - 0 - -\n'))).toMatchObject({
    records: undefined,
    expiresAt: undefined,
  });
});

// One topic in memory, without any file: what it keeps, what it drops, and how it counts its segments.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { newTopicState } from '../../../src/broker/append-rules.ts';
import { CHUNK_RECORDS, RecordChunk } from '../../../src/broker/log/topics/record-chunk.ts';
import { Topic, type TopicVersion } from '../../../src/broker/log/topics/topic.ts';
import { TailReader } from '../../../src/broker/tail/tail-reader.ts';
import { WakeList } from '../../../src/broker/tail/wake-list.ts';
import { StopController } from '../../../src/base/stop-signal.ts';
import { CHAT, minor } from '../contract/subject.ts';

/** Chunks from here on are in the index. */
const BEYOND = 99;

function topicInMemory(): {
  topic: Topic;
  live: Map<number, number>;
  append: (count: number, supersedes?: [number, number][]) => void;
} {
  const live = new Map<number, number>();
  const topic = new Topic(CHAT, {
    loadChunk: (_topic, index) => {
      if (index < BEYOND) throw new Error('the index does not have it yet');
      return new RecordChunk(index);
    },
    accountOf: () => undefined,
    newTopicId: () => 1,
    count: (segment, records, bytes) => live.set(segment, (live.get(segment) ?? 0) + records + bytes),
  });
  const append = (count: number, supersedes: [number, number][] = []): void => {
    const before = topic.visible?.state ?? newTopicState('e');
    const version: TopicVersion = {
      state: { ...before, next: before.next + count },
      base: 'e',
      era: 0,
      damages: 0,
      ttlMs: undefined,
      expiresAt: undefined,
      life: undefined,
      priority: 'normal',
      beside: 0,
      notBefore: undefined,
    };
    const records = minor(...Array.from({ length: count }, () => 'data')).map((one) => ({ ...one, size: 4 }));
    const write = {
      topic: CHAT,
      epoch: 'e',
      first: before.next,
      records,
      supersedes,
      created: before.next === 0 ? 0 : undefined,
    };
    topic.apply(version, write, { segment: 7, position: before.next, length: 9 });
    topic.cacheLastRecord(before.next, records);
  };
  return { topic, live, append };
}

class MarkedReaders extends WakeList {
  readonly readers: TailReader[] = [];

  override markReader(reader: TailReader): void {
    this.readers.push(reader);
  }
}

function readerOf(majorOnly: boolean): TailReader {
  const nothing = { readFrom: () => ({ kind: 'missing' as const }), attach: () => undefined, detach: () => undefined };
  return new TailReader(nothing, { epoch: 'e', offset: 0 }, { signal: new StopController(), majorOnly });
}

test('a topic keeps every chunk that the index does not have yet, however many there are', () => {
  const { topic, append } = topicInMemory();
  for (let i = 0; i < 20; i++) append(CHUNK_RECORDS - 1);
  append(1, [[3, CHUNK_RECORDS * 12]]);
  topic.chunkOf(BEYOND * CHUNK_RECORDS);
  for (let offset = 0; offset < 20 * (CHUNK_RECORDS - 1); offset++) {
    const isHole = offset >= 3 && offset <= CHUNK_RECORDS * 12;
    expect(topic.chunkOf(offset).holeBy(offset % CHUNK_RECORDS) >= 0).toBe(isHole);
  }
  expect(topic.takeDirtyChunks().length).toBe(20);
});

test("a topic subtracts a superseded record from its own size and its segment's", () => {
  const { topic, live, append } = topicInMemory();
  append(100);
  expect(live.get(7)).toBe(100 * 5);
  append(1, [[10, 89]]);
  expect(live.get(7)).toBe(21 * 5);
  expect(topic.bytes).toBe(21 * 4);
  topic.end({ reason: 'removed', epoch: 'e', next: 101, at: 0 });
  expect([live.get(7), topic.bytes]).toEqual([0, 0]);
});

test('a topic of a million records counts its end once for each segment of a chunk, not for each record', () => {
  const calls: [number, number][] = [];
  const chunks = Math.ceil(1_000_000 / CHUNK_RECORDS);
  const topic = new Topic(CHAT, {
    loadChunk: (_topic, index) => {
      const chunk = new RecordChunk(index);
      for (let slot = 0; slot < CHUNK_RECORDS; slot++) chunk.push(slot < 100 ? 1 : 2, 0, 9, 4 * 2);
      chunk.supersede(50, 60);
      chunk.dirty = false;
      return chunk;
    },
    accountOf: () => undefined,
    newTopicId: () => 1,
    count: (segment, records, bytes) => calls.push([segment, records + bytes]),
  });
  topic.end({ reason: 'removed', epoch: 'e', next: chunks * CHUNK_RECORDS, at: 0 });
  expect(calls.length).toBeLessThanOrEqual(chunks * 4);
  const sum = (of: number): number => calls.reduce((all, [segment, change]) => all + (segment === of ? change : 0), 0);
  expect([sum(0), sum(1), sum(2)]).toEqual([0, -chunks * 99 * 5, -chunks * (CHUNK_RECORDS - 100) * 5]);
});

test('a topic caches the last record only while live readers follow it', () => {
  const { topic, append } = topicInMemory();
  append(3);
  expect(topic.lastRecord).toBeUndefined();
  topic.addReader(readerOf(true));
  append(1);
  expect(topic.lastRecord).toBeUndefined();
  topic.addReader(readerOf(false));
  append(2);
  expect(topic.lastRecordAt({ epoch: 'e', offset: 5 })).toEqual({
    kind: 'record',
    offset: 5,
    major: false,
    data: 'data',
  });
  expect([
    topic.lastRecordAt({ epoch: 'e', offset: 4 }),
    topic.lastRecordAt({ epoch: 'f', offset: 5 }),
    topic.lastRecordAt({ epoch: 'e', offset: 6 }),
  ]).toEqual([undefined, undefined, undefined]);
  topic.end({ reason: 'removed', epoch: 'e', next: 6, at: 0 });
  expect(topic.lastRecordAt({ epoch: 'e', offset: 5 })).toBeUndefined();
});

test('a topic calls readers of all records for a token and all readers for a major, as readers come and leave', () => {
  const step = fc.record({ who: fc.nat({ max: 7 }), leaves: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const { topic } = topicInMemory();
      const readers = Array.from({ length: 8 }, (_, i) => readerOf(i % 2 === 1));
      const there = new Set<TailReader>();
      const told = (major: boolean): Set<TailReader> => {
        const marked = new MarkedReaders();
        topic.markReaders(major, marked);
        expect(new Set(marked.readers).size).toBe(marked.readers.length);
        return new Set(marked.readers);
      };
      for (const { who, leaves } of steps) {
        const reader = readers[who] ?? readerOf(false);
        if (leaves) topic.removeReader(reader);
        else if (!there.has(reader)) topic.addReader(reader);
        if (leaves) there.delete(reader);
        else there.add(reader);
        expect(told(true)).toEqual(there);
        expect(told(false)).toEqual(new Set([...there].filter(({ majorOnly }) => !majorOnly)));
        expect(topic.evictable).toBe(there.size === 0);
      }
    }),
  );
});

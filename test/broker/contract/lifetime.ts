// The contract on how topics begin and end: expiry, removal, tombstones, the next epoch; and how topics are listed.
import { describe, expect, test } from 'vitest';
import { TOMBSTONE_MS } from '../../../src/broker/broker.ts';
import type { Broker } from '../../../src/broker/broker.ts';
import { parseTopicPattern } from '../../../src/broker/lite-topic.ts';
import type { LiteTopicName } from '../../../src/broker/lite-topic.ts';
import { eventually } from '../../support/wait-for.ts';
import {
  CHAT,
  CollectedTail,
  append,
  infoOf,
  isMissing,
  major,
  minor,
  outcome,
  readLines,
  topicName,
} from './subject.ts';
import type { OpenSubject } from './subject.ts';

const MINUTE = 60_000;

export function lifetimeContract(open: OpenSubject): void {
  expiryContract(open);
  endContract(open);
  listContract(open);
}

function expiryContract(open: OpenSubject): void {
  describe('a topic with a TTL', () => {
    test('expires that long after its last write, and not before', async () => {
      const { broker, clock } = await open();
      await append(broker, CHAT, minor('a'), { ttlMs: MINUTE });
      await clock.advance(MINUTE - 1);
      expect(await readLines(broker, CHAT)).toEqual(['0m:a']);
      await clock.advance(1);
      await eventually(() => isMissing(broker, CHAT));
    });

    test('starts its TTL again with every write', async () => {
      const { broker, clock } = await open();
      const { epoch } = await append(broker, CHAT, minor('a'), { ttlMs: MINUTE });
      for (const records of [minor('b'), major('c'), []]) {
        await clock.advance(MINUTE - 1);
        expect(await append(broker, CHAT, records)).toMatchObject({ epoch });
        expect((await infoOf(broker, CHAT)).expiresAt).toBe(clock.now() + MINUTE);
      }
      await clock.advance(MINUTE - 1);
      expect(await isMissing(broker, CHAT)).toBe(false);
      await clock.advance(1);
      await eventually(() => isMissing(broker, CHAT));
    });

    test('starts its TTL again with an empty write that names a TTL, which stores nothing', async () => {
      const { broker, clock } = await open();
      const { epoch } = await append(broker, CHAT, minor('a'), { ttlMs: MINUTE });
      expect(await append(broker, CHAT, [], { expect: { epoch }, ttlMs: 3 * MINUTE })).toEqual({
        epoch,
        first: 1,
        next: 1,
      });
      await clock.advance(3 * MINUTE - 1);
      expect(await readLines(broker, CHAT)).toEqual(['0m:a']);
      expect(await outcome(append(broker, topicName('chat/none'), [], { expect: { epoch }, ttlMs: MINUTE }))).toBe(
        'epoch-changed',
      );
      await clock.advance(1);
      await eventually(() => isMissing(broker, CHAT));
    });

    test('may begin with an empty write, and ends after the last of them', async () => {
      const { broker, clock } = await open();
      const touch = async (): Promise<unknown> => append(broker, CHAT, [], { expect: { create: true }, ttlMs: MINUTE });
      await touch();
      const first = await infoOf(broker, CHAT);
      expect(first).toMatchObject({ next: 0, expiresAt: clock.now() + MINUTE });
      await clock.advance(MINUTE - 1);
      await touch();
      expect(await infoOf(broker, CHAT)).toMatchObject({
        epoch: first.epoch,
        next: 0,
        expiresAt: clock.now() + MINUTE,
      });
      await clock.advance(MINUTE);
      await eventually(() => isMissing(broker, CHAT));
    });

    test('may get a shorter one', async () => {
      const { broker, clock } = await open();
      await append(broker, CHAT, minor('a'), { ttlMs: 60 * MINUTE });
      await append(broker, CHAT, [], { ttlMs: MINUTE });
      await clock.advance(MINUTE);
      await eventually(() => isMissing(broker, CHAT));
    });

    test('is not kept by its readers', async () => {
      const { broker, clock } = await open();
      const { epoch } = await append(broker, CHAT, minor('a'), { ttlMs: MINUTE });
      const tail = new CollectedTail(broker, CHAT, { epoch, offset: 0 });
      await clock.advance(MINUTE - 1);
      await readLines(broker, CHAT);
      await clock.advance(1);
      expect(await tail.verdict()).toMatchObject({ reason: 'expired' });
    });

    test('does not start its TTL again when a write is refused', async () => {
      const { broker, clock } = await open();
      await append(broker, CHAT, minor('a'), { ttlMs: MINUTE });
      await clock.advance(MINUTE - 1);
      await outcome(append(broker, CHAT, minor('b'), { expect: { epoch: 'other' }, ttlMs: 9 * MINUTE }));
      await clock.advance(1);
      await eventually(() => isMissing(broker, CHAT));
    });

    test('expires by itself, each at its own time', async () => {
      const { broker, clock } = await open();
      const names = Array.from({ length: 20 }, (_, i) => topicName(`chat/c${i}`));
      for (const [i, name] of names.entries()) await append(broker, name, minor('a'), { ttlMs: MINUTE * (20 - i) });
      for (let i = 19; i >= 0; i -= 1) {
        await clock.advance(MINUTE);
        const left = async (): Promise<number> =>
          (await broker.describe(names)).filter((info) => info !== undefined).length;
        await eventually(async () => (await left()) <= i);
        expect(await left()).toBe(i);
      }
    });
  });

  test('a topic that never got a TTL does not expire', async () => {
    const { broker, clock } = await open();
    await append(broker, CHAT, minor('a'));
    await append(broker, topicName('chat/two'), minor('b'), { ttlMs: MINUTE });
    await clock.advance(24 * 60 * MINUTE);
    await eventually(() => isMissing(broker, topicName('chat/two')));
    expect(await readLines(broker, CHAT)).toEqual(['0m:a']);
    expect(await infoOf(broker, CHAT)).not.toHaveProperty('expiresAt');
  });
}

const ENDS = ['expired', 'removed'] as const;

function endContract(open: OpenSubject): void {
  type Opened = Awaited<ReturnType<OpenSubject>>;

  async function end({ broker, clock }: Pick<Opened, 'broker' | 'clock'>, how: (typeof ENDS)[number]): Promise<void> {
    if (how === 'removed') expect(await broker.remove(CHAT)).toBe(true);
    else await clock.advance(MINUTE);
    await eventually(() => isMissing(broker, CHAT));
  }

  describe.each(ENDS)('a topic that was %s', (how) => {
    test('answers readers that come back with the reason and its last epoch', async () => {
      const { broker, clock } = await open();
      const { epoch } = await append(broker, CHAT, major('a', 'b'), { ttlMs: MINUTE });
      await end({ broker, clock }, how);
      const reset = { kind: 'reset', reason: how, epoch, earliest: 0, next: 2 };
      expect(await broker.read(CHAT, { epoch, offset: 2 })).toEqual(reset);
      expect(await broker.read(CHAT, 'end', { direction: 'backward' })).toEqual(reset);
      expect(await new CollectedTail(broker, CHAT, { epoch, offset: 1 }).ended()).toEqual([reset]);
      expect(await broker.remove(CHAT)).toBe(false);
    });

    test('is missing an hour later', async () => {
      const { broker, clock } = await open();
      const { epoch } = await append(broker, CHAT, minor('a'), { ttlMs: MINUTE });
      await end({ broker, clock }, how);
      await clock.advance(TOMBSTONE_MS - 1);
      expect(await broker.read(CHAT, { epoch, offset: 0 })).toMatchObject({ kind: 'reset', reason: how });
      await clock.advance(1);
      await eventually(async () => (await broker.read(CHAT, { epoch, offset: 0 })).kind === 'missing');
    });

    test('begins again in a new epoch at offset 0, with nothing of the last epoch', async () => {
      const { broker, clock } = await open();
      const { epoch } = await append(broker, CHAT, major('a', 'b'), {
        ttlMs: MINUTE,
        takeFence: true,
        priority: 'high',
      });
      await end({ broker, clock }, how);
      const again = await append(broker, CHAT, minor('c'), { expect: { absent: true } });
      expect(again).toMatchObject({ first: 0, next: 1 });
      expect(again.epoch).not.toBe(epoch);
      expect(await infoOf(broker, CHAT)).toEqual({
        topic: CHAT,
        epoch: again.epoch,
        earliest: 0,
        next: 1,
        lastMajor: -1,
        fence: -1,
        bytes: 1,
      });
      expect(await broker.read(CHAT, { epoch, offset: 0 })).toEqual({
        kind: 'reset',
        reason: 'epoch-changed',
        epoch: again.epoch,
        earliest: 0,
        next: 1,
      });
      expect(await readLines(broker, CHAT)).toEqual(['0m:c']);
    });

    test('does not end its next epoch, neither by its tombstone nor by its TTL', async () => {
      const { broker, clock } = await open();
      await append(broker, CHAT, minor('a'), { ttlMs: MINUTE });
      await end({ broker, clock }, how);
      await append(broker, CHAT, minor('b'));
      await clock.advance(TOMBSTONE_MS + 2 * MINUTE);
      expect(await readLines(broker, CHAT)).toEqual(['0m:b']);
    });
  });

  test('a topic has another epoch each time it is made again', async () => {
    const { broker } = await open();
    const epochs = new Set<string>();
    for (let i = 0; i < 20; i += 1) {
      epochs.add((await append(broker, CHAT, minor('a'))).epoch);
      await broker.remove(CHAT);
    }
    expect(epochs.size).toBe(20);
  });

  test('remove returns false and leaves no trace when the topic never existed', async () => {
    const { broker } = await open();
    expect(await broker.remove(CHAT)).toBe(false);
    expect(await broker.read(CHAT, 'earliest')).toEqual({ kind: 'missing' });
  });

  test('remove returns true to exactly one of many concurrent callers', async () => {
    const { broker } = await open();
    await append(broker, CHAT, minor('a'));
    const removed = await Promise.all(Array.from({ length: 5 }, () => broker.remove(CHAT)));
    expect(removed.filter(Boolean)).toHaveLength(1);
  });

  test('remove with a position removes nothing behind which a major record came, and nothing of another epoch', async () => {
    const { broker } = await open();
    const { epoch } = await append(broker, CHAT, major('a'));
    const seen = { epoch, offset: 0 };
    await append(broker, CHAT, major('b'));
    expect(await outcome(broker.remove(CHAT, seen))).toBe('conflict');
    expect(await outcome(broker.remove(CHAT, { epoch: 'other', offset: 1 }))).toBe('epoch-changed');
    expect(await readLines(broker, CHAT)).toEqual(['0M:a', '1M:b']);
    const appended = append(broker, CHAT, major('c'));
    expect(await outcome(broker.remove(CHAT, { epoch, offset: 1 }))).toBe('conflict');
    await appended;
    await append(broker, CHAT, minor('d'));
    expect(await broker.remove(CHAT, { epoch, offset: 2 })).toBe(true);
    expect(await broker.remove(CHAT, { epoch, offset: 2 })).toBe(false);
  });
}

function listContract(open: OpenSubject): void {
  async function names(broker: Broker, pattern: string, limit: number): Promise<LiteTopicName[][]> {
    const pages: LiteTopicName[][] = [];
    for (let after: LiteTopicName | undefined; ;) {
      const page = await broker.list(parseTopicPattern(pattern), after === undefined ? { limit } : { after, limit });
      pages.push(page.topics.map(({ topic }) => topic));
      if (page.after === undefined) return pages;
      if (after !== undefined && page.after <= after)
        throw new Error(`the page after ${after} ends with ${page.after}`);
      expect(page.after).toBe(page.topics.at(-1)?.topic);
      ({ after } = page);
    }
  }

  describe('describe', () => {
    test('answers per name, undefined where there is no topic', async () => {
      const { broker, clock } = await open();
      const other = topicName('chat/two');
      const { epoch } = await append(broker, CHAT, [...minor('€'), ...major('b'), ...minor('c')], {
        ttlMs: MINUTE,
        takeFence: true,
      });
      const { epoch: otherEpoch } = await append(broker, other, []);
      const expiresAt = clock.now() + MINUTE;
      expect(await broker.describe([other, topicName('chat/none'), CHAT, other])).toEqual([
        { topic: other, epoch: otherEpoch, earliest: 0, next: 0, lastMajor: -1, fence: -1, bytes: 0 },
        undefined,
        { topic: CHAT, epoch, earliest: 0, next: 3, lastMajor: 1, fence: 0, bytes: 5, ttlMs: MINUTE, expiresAt },
        { topic: other, epoch: otherEpoch, earliest: 0, next: 0, lastMajor: -1, fence: -1, bytes: 0 },
      ]);
      expect(await broker.describe([])).toEqual([]);
    });
  });

  describe('list', () => {
    test('returns the matching topics in name order, page by page', async () => {
      const { broker } = await open();
      const made = [
        'chat/b',
        'chat/a',
        'chat/B',
        'chat/a.1',
        'chat/a-1',
        'chat/10',
        'chat/9',
        'chat/:x',
        'chat/_',
        'chats/a',
        'request/agent/a',
        'cha/t',
      ];
      for (const name of made) await append(broker, topicName(name), minor('x'));
      const wanted = made.filter((name) => name.startsWith('chat/')).toSorted();
      expect((await names(broker, 'chat/*', 1000)).flat()).toEqual(wanted);
      expect((await names(broker, 'chat/*', 2)).flat()).toEqual(wanted);
      expect((await names(broker, 'chat/*', 1)).flat()).toEqual(wanted);
    });

    test('returns no after on its last page, also when that page is full', async () => {
      const { broker } = await open();
      for (const name of ['chat/a', 'chat/b', 'chat/c', 'chat/d']) await append(broker, topicName(name), minor('x'));
      expect(await names(broker, 'chat/*', 2)).toEqual([
        ['chat/a', 'chat/b'],
        ['chat/c', 'chat/d'],
      ]);
      expect(await names(broker, 'nothing/*', 2)).toEqual([[]]);
    });

    test('matches a wildcard with one whole segment, anywhere', async () => {
      const { broker } = await open();
      for (const name of ['request/x/a', 'request/y/a', 'request/y/b', 'request/y', 'request/y/b/c', 'reply/y/b'])
        await append(broker, topicName(name), minor('x'));
      expect((await names(broker, 'request/*/*', 10)).flat()).toEqual(['request/x/a', 'request/y/a', 'request/y/b']);
      expect((await names(broker, 'request/*/a', 1)).flat()).toEqual(['request/x/a', 'request/y/a']);
      expect((await names(broker, '*/y/b', 1)).flat()).toEqual(['reply/y/b', 'request/y/b']);
      expect((await names(broker, '*/*', 10)).flat()).toEqual(['request/y']);
      expect((await names(broker, 'request/y', 10)).flat()).toEqual(['request/y']);
    });

    test('starts after any name, whether there is such a topic or not', async () => {
      const { broker } = await open();
      for (const name of ['chat/a', 'chat/c']) await append(broker, topicName(name), minor('x'));
      const after = async (name: string): Promise<string[]> =>
        (await broker.list(parseTopicPattern('chat/*'), { after: topicName(name), limit: 10 })).topics.map(
          ({ topic }) => topic,
        );
      expect(await after('chat/a')).toEqual(['chat/c']);
      expect(await after('chat/b')).toEqual(['chat/c']);
      expect(await after('chat/c')).toEqual([]);
    });

    test('describes each topic, and leaves out those that have ended', async () => {
      const { broker, clock } = await open();
      const [gone, expired] = [topicName('chat/gone'), topicName('chat/expired')];
      await append(broker, CHAT, [...major('a'), ...minor('b')], { ttlMs: 5 * MINUTE });
      await append(broker, gone, minor('x'));
      await append(broker, expired, minor('x'), { ttlMs: MINUTE });
      await broker.remove(gone);
      await clock.advance(MINUTE);
      await eventually(() => isMissing(broker, expired));
      expect((await broker.list(parseTopicPattern('chat/*'), { limit: 10 })).topics).toEqual(
        await broker.describe([CHAT]),
      );
    });

    test.each([0, -1, 1001, 1.5, Number.NaN])('refuses the limit %s', async (limit) => {
      const { broker } = await open();
      expect(await outcome(broker.list(parseTopicPattern('chat/*'), { limit }))).toBe('invalid-config');
    });
  });
}

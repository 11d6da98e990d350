// The contract on tails: from a position, then live, without gaps, for any number of readers.
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Broker } from '../../../src/broker/broker.ts';
import { isBrokerError } from '../../../src/broker/errors.ts';
import { parseLiteTopicName, type LiteTopicName } from '../../../src/broker/lite-topic.ts';
import type { Position } from '../../../src/broker/position.ts';
import {
  CHAT,
  CollectedTail,
  append,
  assertJoined,
  batchOf,
  infoOf,
  lines,
  major,
  minor,
  nextOf,
  readLines,
} from './subject.ts';
import { eventually } from '../../support/wait-for.ts';
import type { OpenSubject } from './subject.ts';

export function tailContract(open: OpenSubject): void {
  describe('tail', () => {
    test('yields what follows its position, then what comes', async () => {
      const { broker } = await open();
      const { epoch } = await append(broker, CHAT, minor('a', 'b', 'c'));
      const tail = new CollectedTail(broker, CHAT, { epoch, offset: 1 });
      expect(await tail.reached(3)).toEqual(['1m:b', '2m:c']);
      await append(broker, CHAT, major('d'));
      await append(broker, CHAT, minor('e'));
      expect(await tail.reached(5)).toEqual(['1m:b', '2m:c', '3M:d', '4m:e']);
    });

    test('waits for the next record when it starts at the head, and yields no empty batch', async () => {
      const { broker } = await open();
      const { epoch, next } = await append(broker, CHAT, minor('a'));
      const tail = new CollectedTail(broker, CHAT, { epoch, offset: next });
      await append(broker, CHAT, []);
      await append(broker, CHAT, minor('b'));
      expect(await tail.reached(2)).toEqual(['1m:b']);
      expect(tail.seen.every((result) => result.kind === 'batch' && result.items.length > 0)).toBe(true);
    });

    test('loses nothing and repeats nothing, whenever readers attach between racing appends', async () => {
      const { broker } = await open();
      const { epoch } = await append(broker, CHAT, minor('0'));
      const tails: CollectedTail[] = [];
      const writing: Promise<unknown>[] = [];
      for (let i = 1; i <= 200; i += 1) {
        writing.push(append(broker, CHAT, minor(`${i}`)));
        if (i % 4 === 0) tails.push(new CollectedTail(broker, CHAT, { epoch, offset: 0 }));
        if (i % 10 === 0) await Promise.all(writing);
      }
      await Promise.all(writing);
      const story = await readLines(broker, CHAT);
      expect(story).toHaveLength(201);
      for (const tail of tails) expect(await tail.reached(201)).toEqual(story);
    });

    test('yields exactly the rest when it is attached at any position while appends race', async () => {
      const { broker } = await open();
      const { epoch } = await append(broker, CHAT, minor('0'));
      const tails: CollectedTail[] = [];
      for (let i = 1; i <= 60; i += 1) {
        const { first } = await append(broker, CHAT, minor(`${i}`));
        const racing = append(broker, CHAT, minor(`${i}+`));
        tails.push(new CollectedTail(broker, CHAT, { epoch, offset: first }));
        await racing;
      }
      const story = await readLines(broker, CHAT);
      for (const [i, tail] of tails.entries()) expect(await tail.reached(story.length)).toEqual(story.slice(2 * i + 1));
    });

    test('yields the same to many readers', async () => {
      const { broker } = await open();
      const { epoch } = await append(broker, CHAT, minor('0'));
      const tails = Array.from({ length: 100 }, () => new CollectedTail(broker, CHAT, { epoch, offset: 0 }));
      for (let i = 1; i <= 20; i += 1) await append(broker, CHAT, minor(`${i}`));
      const story = await readLines(broker, CHAT);
      for (const tail of tails) expect(await tail.reached(21)).toEqual(story);
    });

    test('yields what a slow reader missed when it asks again, and delays no other reader', async () => {
      const { broker } = await open();
      const { epoch } = await append(broker, CHAT, minor('0'));
      const abort = new AbortController();
      const slow = broker.tail(CHAT, { epoch, offset: 0 }, { signal: abort.signal })[Symbol.asyncIterator]();
      const fast = new CollectedTail(broker, CHAT, { epoch, offset: 0 });
      await slow.next();
      for (let i = 1; i <= 50; i += 1) await append(broker, CHAT, minor('x'.repeat(10_000)));
      await fast.reached(51);
      const items = [];
      for (let next = 1; next < 51;) {
        const batch = batchOf(await nextOf(slow));
        items.push(...batch.items);
        next = batch.next;
      }
      assertJoined(items, 'forward');
      expect(items[0]).toMatchObject({ offset: 1 });
      expect(items).toHaveLength(50);
      abort.abort();
      expect(await slow.next()).toEqual({ value: undefined, done: true });
    });

    test('wakes only for major records when it is majorOnly', async () => {
      const { broker } = await open();
      const { epoch } = await append(broker, CHAT, [...major('0'), ...minor('1')]);
      const tail = new CollectedTail(broker, CHAT, { epoch, offset: 0 }, { majorOnly: true });
      await tail.reached(1);
      for (let i = 2; i < 20; i += 1) await append(broker, CHAT, minor(`${i}`));
      await append(broker, CHAT, major('20'));
      expect(await tail.reached(20)).toEqual(['0M:0', '20M:20']);
      await append(broker, CHAT, [...minor('21'), ...major('22'), ...minor('23')]);
      expect(await tail.reached(23)).toEqual(['0M:0', '20M:20', '22M:22']);
      expect(tail.seen.every((result) => result.kind === 'batch' && result.items.length > 0)).toBe(true);
    });

    test('declares holes like a read', async () => {
      const { broker } = await open();
      const { epoch } = await append(broker, CHAT, minor('0', '1', '2'));
      await append(broker, CHAT, major('012'), { supersedes: [[0, 2]] });
      const tail = new CollectedTail(broker, CHAT, { epoch, offset: 1 });
      expect(await tail.reached(4)).toEqual(['1-2>3', '3M:012']);
    });
  });

  describe('a tail ends', () => {
    test('without an error when its signal aborts while it waits', async () => {
      const { broker } = await open();
      const { epoch } = await append(broker, CHAT, minor('a'));
      const tail = new CollectedTail(broker, CHAT, { epoch, offset: 0 });
      await tail.reached(1);
      tail.abort();
      expect(await tail.verdict()).toBeUndefined();
      await append(broker, CHAT, minor('b'));
      expect(tail.lines).toEqual(['0m:a']);
    });

    test('without an error when its signal had aborted before', async () => {
      const { broker } = await open();
      const { epoch } = await append(broker, CHAT, minor('a'));
      const reader = broker.tail(CHAT, { epoch, offset: 0 }, { signal: AbortSignal.abort() })[Symbol.asyncIterator]();
      expect(await reader.next()).toEqual({ value: undefined, done: true });
    });

    test('without an error when its signal aborts between two requests', async () => {
      const { broker } = await open();
      const { epoch } = await append(broker, CHAT, minor('a'));
      const abort = new AbortController();
      const reader = broker.tail(CHAT, { epoch, offset: 0 }, { signal: abort.signal })[Symbol.asyncIterator]();
      await reader.next();
      await append(broker, CHAT, minor('b'));
      abort.abort();
      expect(await reader.next()).toEqual({ value: undefined, done: true });
    });

    test('when its reader leaves the loop, without an effect on other readers', async () => {
      const { broker } = await open();
      const { epoch } = await append(broker, CHAT, minor('a'));
      const other = new CollectedTail(broker, CHAT, { epoch, offset: 0 });
      for await (const result of broker.tail(CHAT, { epoch, offset: 0 }, { signal: new AbortController().signal })) {
        expect(result.kind).toBe('batch');
        break;
      }
      await append(broker, CHAT, minor('b'));
      expect(await other.reached(2)).toEqual(['0m:a', '1m:b']);
    });

    test('without an error when the broker closes, after it yielded everything in order', async () => {
      const { broker } = await open();
      const { epoch } = await append(broker, CHAT, minor('a'));
      const tails = Array.from({ length: 3 }, () => new CollectedTail(broker, CHAT, { epoch, offset: 0 }));
      await Promise.all(tails.map((tail) => tail.reached(1)));
      await broker.close();
      for (const tail of tails) expect(await tail.verdict()).toBeUndefined();
    });

    test('after missing', async () => {
      const { broker } = await open();
      expect(await new CollectedTail(broker, CHAT, { epoch: 'e', offset: 0 }).ended()).toEqual([{ kind: 'missing' }]);
    });

    test('after reset{epoch-changed} and after reset{ahead-of-log}', async () => {
      const { broker } = await open();
      const { epoch } = await append(broker, CHAT, minor('a'));
      const now = { kind: 'reset', epoch, earliest: 0, next: 1 };
      expect(await new CollectedTail(broker, CHAT, { epoch: 'other', offset: 0 }).ended()).toEqual([
        { ...now, reason: 'epoch-changed' },
      ]);
      expect(await new CollectedTail(broker, CHAT, { epoch, offset: 2 }).ended()).toEqual([
        { ...now, reason: 'ahead-of-log' },
      ]);
    });

    test.each([false, true])(
      'after reset{removed} with its last epoch when its topic is removed (majorOnly: %s)',
      async (majorOnly) => {
        const { broker } = await open();
        const { epoch } = await append(broker, CHAT, major('a', 'b'));
        const tail = new CollectedTail(broker, CHAT, { epoch, offset: 0 }, { majorOnly });
        await tail.reached(2);
        await broker.remove(CHAT);
        expect(await tail.verdict()).toEqual({ kind: 'reset', reason: 'removed', epoch, earliest: 0, next: 2 });
      },
    );

    test('after reset{expired} when its topic expires', async () => {
      const { broker, clock } = await open();
      const { epoch } = await append(broker, CHAT, minor('a', 'b'), { ttlMs: 60_000 });
      const tail = new CollectedTail(broker, CHAT, { epoch, offset: 0 });
      await tail.reached(2);
      await clock.advance(60_000);
      expect(await tail.verdict()).toEqual({ kind: 'reset', reason: 'expired', epoch, earliest: 0, next: 2 });
    });

    test('with a reset and never with a record of the next epoch, when the reader did not ask while the topic was made again', async () => {
      const { broker } = await open();
      const { epoch } = await append(broker, CHAT, minor('a'));
      const reader = broker
        .tail(CHAT, { epoch, offset: 0 }, { signal: new AbortController().signal })
        [Symbol.asyncIterator]();
      await reader.next();
      await broker.remove(CHAT);
      await append(broker, CHAT, minor('new a', 'new b'));
      const result = await nextOf(reader);
      expect(result.kind === 'reset' ? result.reason : result.kind).toMatch(/^(removed|epoch-changed)$/);
      expect(await reader.next()).toEqual({ value: undefined, done: true });
      expect((await infoOf(broker, CHAT)).next).toBe(2);
    });
  });

  describe('a tail that is followed', () => {
    test('calls back with everything in order, however far behind it begins, then with its end, and with nothing after that', async () => {
      const { broker } = await open();
      const { epoch } = await append(broker, CHAT, minor('0'));
      for (let i = 1; i < 40; i += 1) await append(broker, CHAT, minor(`${i}`.padEnd(20_000, 'x')));
      const followed = Array.from({ length: 5 }, () => new FollowedTail(broker, CHAT, { epoch, offset: 0 }));
      for (const tail of followed) await tail.until(40);
      for (let i = 40; i < 80; i += 1) await append(broker, CHAT, i % 10 === 0 ? major(`${i}`) : minor(`${i}`));
      const story = await readLines(broker, CHAT);
      for (const tail of followed) await tail.until(80);
      await broker.remove(CHAT);
      for (const tail of followed) {
        await tail.over;
        expect(tail.told).toEqual([...story, 'reset removed', 'end']);
      }
    });

    test('ends once when its signal aborts, also from inside a callback', async () => {
      const { broker } = await open();
      const { epoch } = await append(broker, CHAT, minor('0'));
      const tail = new FollowedTail(broker, CHAT, { epoch, offset: 0 }, { stopAt: 2 });
      const other = new FollowedTail(broker, CHAT, { epoch, offset: 0 });
      for (let i = 1; i < 5; i += 1) {
        await append(broker, CHAT, minor(`${i}`));
        await other.until(i + 1);
      }
      await tail.over;
      expect(tail.told).toEqual(['0m:0', '1m:1', 'end']);
      expect(other.told).toHaveLength(5);
    });

    test('of majors only receives each major record and nothing of the others', async () => {
      const { broker } = await open();
      const { epoch } = await append(broker, CHAT, major('0'));
      const tail = new FollowedTail(broker, CHAT, { epoch, offset: 0 }, { majorOnly: true });
      for (let i = 1; i <= 20; i += 1) await append(broker, CHAT, i % 5 === 0 ? major(`${i}`) : minor(`${i}`));
      await tail.until(21);
      expect(tail.told).toEqual(['0M:0', '5M:5', '10M:10', '15M:15', '20M:20']);
    });

    test.each([
      ['a topic that never was', 'missing', { epoch: 'e', offset: 0 }],
      ['another epoch', 'reset epoch-changed', { epoch: 'other', offset: 0 }],
    ])('of %s receives one result and ends', async (_, result, from) => {
      const { broker } = await open();
      if (result !== 'missing') await append(broker, CHAT, minor('0'));
      const tail = new FollowedTail(broker, CHAT, from);
      await tail.over;
      expect(tail.told).toEqual([result, 'end']);
    });

    test('with a signal that is aborted already ends at once', async () => {
      const { broker } = await open();
      const { epoch } = await append(broker, CHAT, minor('0'));
      const told: string[] = [];
      broker.tail(CHAT, { epoch, offset: 0 }, { signal: AbortSignal.abort() }).follow({
        onResult: ({ kind }) => told.push(kind),
        onEnd: () => told.push('end'),
        onError: () => told.push('error'),
      });
      expect(told).toEqual(['end']);
    });

    test('receives the last record of a topic before its expiry, and ends with the broker', async () => {
      const { broker, clock } = await open();
      const { epoch } = await append(broker, CHAT, minor('0'), { ttlMs: 60_000 });
      const other = parseLiteTopicName('chat/other');
      const { epoch: lasting } = await append(broker, other, minor('0'));
      const tail = new FollowedTail(broker, CHAT, { epoch, offset: 0 });
      const last = new FollowedTail(broker, other, { epoch: lasting, offset: 0 });
      await tail.until(1);
      await last.until(1);
      await clock.advance(60_000);
      await tail.over;
      expect(tail.told).toEqual(['0m:0', 'reset expired', 'end']);
      await broker.close();
      await last.over;
      expect(last.told).toEqual(['0m:0', 'end']);
    });

    test('ends with the error that its listener throws, and the engine and its other readers continue', async () => {
      const { broker } = await open();
      const { epoch } = await append(broker, CHAT, minor('0'));
      const errors: unknown[] = [];
      const abort = new AbortController();
      onTestFinished(() => abort.abort());
      const thrown = new Error('the listener');
      broker.tail(CHAT, { epoch, offset: 0 }, { signal: abort.signal }).follow({
        onResult: () => {
          throw thrown;
        },
        onEnd: () => errors.push('end'),
        onError: (error) => errors.push(error),
      });
      const other = new FollowedTail(broker, CHAT, { epoch, offset: 0 });
      await append(broker, CHAT, minor('1'));
      await append(broker, CHAT, minor('2'));
      await other.until(3);
      expect(other.told).toEqual(['0m:0', '1m:1', '2m:2']);
      await eventually(() => errors.length > 0);
      expect(errors).toEqual([thrown]);
    });

    test('is refused when the broker was closed', async () => {
      const { broker } = await open();
      const { epoch } = await append(broker, CHAT, minor('0'));
      await broker.close();
      const tail = new FollowedTail(broker, CHAT, { epoch, offset: 0 });
      await tail.over;
      expect(tail.told).toEqual(['error closed']);
    });
  });
}

interface FollowOptions {
  readonly majorOnly?: boolean;
  /** The listener stops the tail when it has received the record before this offset. */
  readonly stopAt?: number;
}

/** A followed tail and what its listener received, in order. */
class FollowedTail {
  readonly told: string[] = [];
  readonly over: Promise<void>;
  #next = 0;
  #isReached: (() => void) | undefined;
  #wanted = 0;

  constructor(broker: Broker, topic: LiteTopicName, from: Position, options: FollowOptions = {}) {
    const { stopAt = Infinity } = options;
    const abort = new AbortController();
    onTestFinished(() => abort.abort());
    this.over = new Promise((resolve) => {
      broker.tail(topic, from, { signal: abort.signal, ...options }).follow({
        onResult: (result) => {
          if (result.kind !== 'batch') {
            this.told.push(result.kind === 'reset' ? `reset ${result.reason}` : result.kind);
            return;
          }
          this.told.push(...lines(result.items));
          this.#next = result.next;
          if (result.next >= stopAt) abort.abort();
          if (result.next >= this.#wanted) this.#isReached?.();
        },
        onEnd: () => {
          this.told.push('end');
          resolve();
        },
        onError: (error) => {
          this.told.push(`error ${isBrokerError(error) ? error.code : String(error)}`);
          resolve();
        },
      });
    });
  }

  async until(next: number): Promise<void> {
    this.#wanted = next;
    if (this.#next < next) await new Promise<void>((resolve) => (this.#isReached = resolve));
  }
}

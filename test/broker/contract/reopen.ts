// The contract of engines that survive a close: what was acknowledged is there again, and leases are void.
import { describe, expect, test } from 'vitest';
import { TOMBSTONE_MS } from '../../../src/broker/broker.ts';
import { parseTopicPattern } from '../../../src/broker/lite-topic.ts';
import { eventually } from '../../support/wait-for.ts';
import {
  CHAT,
  CollectedTail,
  QUEUE,
  append,
  infoOf,
  isMissing,
  major,
  minor,
  outcome,
  readLines,
  topicName,
  write,
} from './subject.ts';
import type { OpenSubject } from './subject.ts';
import { TestWorker, VISIBILITY_MS, said } from './worker.ts';

const MINUTE = 60_000;

export function reopenContract(open: OpenSubject): void {
  describe('after a close and a reopening', () => {
    test('every topic is described, listed and read as before, in the same epoch', async () => {
      const { broker, reopen } = await open();
      const names = Array.from({ length: 30 }, (_, i) => topicName(`chat/c${i}`));
      for (const name of names) {
        await append(broker, name, [...major('ask €'), ...minor('a', '', 'c')], {
          ttlMs: 60 * MINUTE,
          takeFence: true,
        });
        await append(broker, name, major('abc'), { supersedes: [[1, 2]] });
      }
      await append(broker, CHAT, []);
      const before = [
        await broker.describe([...names, CHAT]),
        await broker.list(parseTopicPattern('chat/*'), { limit: 1000 }),
      ];
      const again = await reopen();
      expect([
        await again.describe([...names, CHAT]),
        await again.list(parseTopicPattern('chat/*'), { limit: 1000 }),
      ]).toEqual(before);
      for (const name of names) {
        const story = ['0M:ask €', '1-2>4', '3m:c', '4M:abc'];
        expect(await readLines(again, name)).toEqual(story);
        expect(await readLines(again, name, 'end', { direction: 'backward' })).toEqual(story.toReversed());
        expect(await readLines(again, name, 'earliest', { majorOnly: true })).toEqual(['0M:ask €', '4M:abc']);
      }
    });

    test('appends and tails continue at the offset where they were, also the third time', async () => {
      const { broker, reopen } = await open();
      const { epoch } = await append(broker, CHAT, minor('0'));
      let engine = broker;
      for (let i = 1; i <= 3; i += 1) {
        engine = await reopen();
        const tail = new CollectedTail(engine, CHAT, { epoch, offset: i - 1 });
        expect(await append(engine, CHAT, minor(`${i}`), { expect: { epoch } })).toEqual({
          epoch,
          first: i,
          next: i + 1,
        });
        expect(await tail.reached(i + 1)).toEqual([`${i - 1}m:${i - 1}`, `${i}m:${i}`]);
      }
      expect(await readLines(engine, CHAT)).toEqual(['0m:0', '1m:1', '2m:2', '3m:3']);
    });

    test('what was acknowledged during the close is there, and what was refused is not', async () => {
      const { broker, reopen } = await open();
      await append(broker, CHAT, minor('start'));
      const outcomes = Array.from({ length: 50 }, (_, i) => outcome(append(broker, CHAT, minor(`${i}`))));
      await broker.close();
      const accepted = (await Promise.all(outcomes)).flatMap((one, i) => (one === 'accepted' ? [`${i}`] : []));
      const stored = (await readLines(await reopen(), CHAT)).map((line) => line.replace(/^\d+m:/, ''));
      expect(stored.toSorted()).toEqual(['start', ...accepted].toSorted());
    });

    test('a fenced writer continues: its retry is answered, its count and its token still hold', async () => {
      const { broker, reopen } = await open();
      const { epoch, first: fence } = await append(broker, CHAT, major('started'), { takeFence: true });
      const fenced = (seq: number, under = fence) => ({ expect: { epoch }, fence: { fence: under, seq } });
      await append(broker, CHAT, minor('a'), fenced(1));
      const writes = [
        write(CHAT, major('done'), fenced(2)),
        write(QUEUE, major('next run'), { expect: { absent: true } }),
      ];
      const answers = await broker.append(writes);
      await append(broker, CHAT, minor('from elsewhere'));
      const again = await reopen();
      expect(await again.append(writes)).toEqual(answers);
      expect(await outcome(append(again, CHAT, minor('x'), fenced(1)))).toBe('out-of-sequence');
      expect(await outcome(append(again, CHAT, minor('x'), fenced(4)))).toBe('out-of-sequence');
      expect(await outcome(append(again, CHAT, minor('x'), fenced(3, 1)))).toBe('fenced');
      expect(await append(again, CHAT, minor('b'), fenced(3))).toMatchObject({ first: 4 });
      expect(await readLines(again, CHAT)).toEqual(['0M:started', '1m:a', '2M:done', '3m:from elsewhere', '4m:b']);
    });

    test('conditions still hold against what was written before', async () => {
      const { broker, reopen } = await open();
      const { epoch } = await append(broker, CHAT, [...major('a'), ...minor('b'), ...major('c'), ...minor('d')]);
      const again = await reopen();
      expect(await outcome(append(again, CHAT, major('x'), { expect: { absent: true } }))).toBe('conflict');
      expect(await outcome(append(again, CHAT, major('x'), { ifUnchanged: { epoch, offset: 1 } }))).toBe('conflict');
      expect(await outcome(append(again, CHAT, minor('x'), { supersedes: [[1, 2]] }))).toBe('invalid-append');
      expect(
        await outcome(
          append(again, CHAT, minor('bd'), {
            supersedes: [
              [1, 1],
              [3, 3],
            ],
            ifUnchanged: { epoch, offset: 2 },
          }),
        ),
      ).toBe('accepted');
      expect(await readLines(again, CHAT)).toEqual(['0M:a', '1-1>4', '2M:c', '3-3>4', '4m:bd']);
    });

    test('holes can be superseded again as before', async () => {
      const { broker, reopen } = await open();
      await append(broker, CHAT, minor('0', '1', '2', '3'));
      await append(broker, CHAT, minor('4'), { supersedes: [[0, 2]] });
      const again = await reopen();
      await append(again, CHAT, minor('5'), { supersedes: [[1, 3]] });
      const third = await reopen();
      expect(await readLines(third, CHAT)).toEqual(['0-0>4', '1-3>5', '4m:4', '5m:5']);
      expect((await infoOf(third, CHAT)).bytes).toBe(2);
    });

    test('a TTL continues: time that passed while it was closed counts', async () => {
      const { broker, clock, reopen } = await open();
      const other = topicName('chat/two');
      await append(broker, CHAT, minor('a'), { ttlMs: MINUTE });
      await append(broker, other, minor('a'), { ttlMs: 3 * MINUTE });
      await broker.close();
      await clock.advance(2 * MINUTE);
      const again = await reopen();
      await clock.advance(0);
      await eventually(() => isMissing(again, CHAT));
      expect(await readLines(again, other)).toEqual(['0m:a']);
      await append(again, other, minor('b'));
      await clock.advance(3 * MINUTE - 1);
      expect(await isMissing(again, other)).toBe(false);
      await clock.advance(1);
      await eventually(() => isMissing(again, other));
    });

    test('a topic that ended stays ended, and reads return the reason until its tombstone ends', async () => {
      const { broker, clock, reopen } = await open();
      const removed = topicName('chat/removed');
      const { epoch } = await append(broker, CHAT, minor('a'), { ttlMs: MINUTE });
      const { epoch: removedEpoch } = await append(broker, removed, minor('a', 'b'));
      await clock.advance(MINUTE);
      await eventually(() => isMissing(broker, CHAT));
      await broker.remove(removed);
      const again = await reopen();
      expect(await again.read(CHAT, { epoch, offset: 0 })).toEqual({
        kind: 'reset',
        reason: 'expired',
        epoch,
        earliest: 0,
        next: 1,
      });
      expect(await again.read(removed, 'earliest')).toEqual({
        kind: 'reset',
        reason: 'removed',
        epoch: removedEpoch,
        earliest: 0,
        next: 2,
      });
      expect(await again.describe([CHAT, removed])).toEqual([undefined, undefined]);
      const { epoch: next } = await append(again, removed, minor('c'));
      expect(next).not.toBe(removedEpoch);
      await clock.advance(TOMBSTONE_MS);
      await eventually(async () => (await again.read(CHAT, 'earliest')).kind === 'missing');
      expect(await readLines(again, removed)).toEqual(['0m:c']);
    });

    test('a group continues where it was, and what was in flight is delivered at once', async () => {
      const { broker, reopen } = await open();
      const [a, b] = [topicName('request/x/a'), topicName('request/x/b')];
      await append(broker, a, major('0', '1', '2'));
      await append(broker, b, major('0'));
      const worker = new TestWorker(broker, { credit: 5, visibilityMs: 100 * VISIBILITY_MS });
      const held = await worker.take(2);
      expect(await held.find(({ topic }) => topic === a)?.ack()).toBe(true);
      const inFlight = await worker.next();
      expect(said(inFlight)).toBe(`${a} 1:1`);
      const again = await reopen();
      expect(inFlight.lost.aborted).toBe(true);
      const next = await new TestWorker(again, { credit: 5 }).take(2);
      expect(next.map(said).toSorted()).toEqual([`${a} 1:1`, `${b} 0:0`]);
      expect(await inFlight.ack()).toBe(false);
    });

    test('a group consumes nothing twice, and another group still gets everything', async () => {
      const { broker, reopen } = await open();
      await append(broker, QUEUE, major('0', '1'));
      const worker = new TestWorker(broker);
      expect([await worker.done(), await worker.done()]).toEqual([`${QUEUE} 0:0`, `${QUEUE} 1:1`]);
      const again = await reopen();
      const [same, other] = [new TestWorker(again), new TestWorker(again, { group: 'other' })];
      const next = same.done();
      expect([await other.done(), await other.done()]).toEqual([`${QUEUE} 0:0`, `${QUEUE} 1:1`]);
      await append(again, QUEUE, major('2'));
      expect(await next).toBe(`${QUEUE} 2:2`);
    });

    test('a group keeps its pattern, and a topic that it has not consumed does not expire although the group has no consumer yet', async () => {
      const { broker, clock, reopen } = await open();
      await append(broker, QUEUE, major('0'), { ttlMs: MINUTE });
      await append(broker, CHAT, major('0'), { ttlMs: MINUTE });
      const held = await new TestWorker(broker).next();
      expect(held.attempt).toBe(1);
      const again = await reopen();
      await clock.advance(10 * MINUTE);
      await eventually(() => isMissing(again, CHAT));
      expect(await readLines(again, QUEUE)).toEqual(['0M:0']);
      expect(await outcome(new TestWorker(again, { pattern: parseTopicPattern('request/*/other') }).next())).toBe(
        'invalid-config',
      );
      expect(await new TestWorker(again).done()).toBe(`${QUEUE} 0:0`);
      await clock.advance(MINUTE);
      await eventually(() => isMissing(again, QUEUE));
    });

    test('a topic keeps its priority', async () => {
      const { broker, reopen } = await open();
      const [a, b] = [topicName('request/x/a'), topicName('request/x/b')];
      await append(broker, a, major('0'), { priority: 'low' });
      await append(broker, b, major('0'), { priority: 'high' });
      const again = await reopen();
      const worker = new TestWorker(again);
      expect([await worker.done(), await worker.done()]).toEqual([`${b} 0:0`, `${a} 0:0`]);
    });

    test('a consumed topic is consumed from 0 when it is removed and made again', async () => {
      const { broker, reopen } = await open();
      await append(broker, QUEUE, major('0', '1'));
      const worker = new TestWorker(broker);
      await worker.done();
      await worker.done();
      await broker.remove(QUEUE);
      await append(broker, QUEUE, major('new'));
      expect(await new TestWorker(await reopen()).done()).toBe(`${QUEUE} 0:new`);
    });
  });
}

// The contract on writing: offsets, expectations, conditions, and all or nothing.
import { describe, expect, test } from 'vitest';
import type { Broker, TopicWrite } from '../../../src/broker/broker.ts';
import { turn } from '../../support/wait-for.ts';
import {
  CHAT,
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

export function appendContract(open: OpenSubject): void {
  describe('append', () => {
    test('returns contiguous offsets from 0 within one epoch, however the records are grouped', async () => {
      const { broker } = await open();
      const answers = [
        await append(broker, CHAT, minor('a')),
        await append(broker, CHAT, minor('b', 'c', 'd')),
        await append(broker, CHAT, major('e')),
      ];
      const { epoch } = await infoOf(broker, CHAT);
      expect(answers).toEqual([
        { epoch, first: 0, next: 1 },
        { epoch, first: 1, next: 4 },
        { epoch, first: 4, next: 5 },
      ]);
      expect(await readLines(broker, CHAT)).toEqual(['0m:a', '1m:b', '2m:c', '3m:d', '4M:e']);
    });

    test('is readable as soon as it is acknowledged', async () => {
      const { broker } = await open();
      for (let i = 0; i < 20; i += 1) {
        const { first } = await append(broker, CHAT, minor(`r${i}`));
        expect((await readLines(broker, CHAT)).at(-1)).toBe(`${first}m:r${i}`);
      }
    });

    test('stores what it answered when appends race to one topic', async () => {
      const { broker } = await open();
      const answers = await Promise.all(
        Array.from({ length: 100 }, (_, i) =>
          append(broker, CHAT, minor(...Array.from({ length: 1 + (i % 3) }, (_x, j) => `${i}.${j}`))),
        ),
      );
      const stored = await readLines(broker, CHAT);
      const total = answers.reduce((sum, { first, next }) => sum + next - first, 0);
      expect(stored).toHaveLength(total);
      answers.forEach(({ first }, i) => expect(stored[first]).toBe(`${first}m:${i}.0`));
    });

    test.each([
      ['nothing', ''],
      ['control characters', '\0\r\n\t\u001b'],
      ['quotes and separators', '"\\\u2028\u2029'],
      ['text of every width', 'aé€𝄞👩‍👩‍👧'],
      ['a byte order mark', '\ufeffx'],
    ])('gives back %s as it came', async (_what, data) => {
      const { broker } = await open();
      await append(broker, CHAT, minor(data, 'after'));
      expect(await readLines(broker, CHAT)).toEqual([`0m:${data}`, '1m:after']);
      expect((await infoOf(broker, CHAT)).bytes).toBe(Buffer.byteLength(data) + 5);
    });

    test('stores nothing when it has no records, and makes a topic if it may', async () => {
      const { broker } = await open();
      const empty = await append(broker, CHAT, []);
      expect(empty).toMatchObject({ first: 0, next: 0 });
      expect(await append(broker, CHAT, minor('a'))).toEqual({ epoch: empty.epoch, first: 0, next: 1 });
      expect(await append(broker, CHAT, [])).toEqual({ epoch: empty.epoch, first: 1, next: 1 });
    });

    test('answers in the order of the writes when it has several topics', async () => {
      const { broker } = await open();
      await append(broker, QUEUE, major('before'));
      const answers = await broker.append([write(QUEUE, major('q')), write(CHAT, minor('a', 'b'))]);
      expect(answers.map(({ first, next }) => [first, next])).toEqual([
        [1, 2],
        [0, 2],
      ]);
      const [queue, chat] = await broker.describe([QUEUE, CHAT]);
      expect(answers.map(({ epoch }) => epoch)).toEqual([queue?.epoch, chat?.epoch]);
    });
  });

  describe('what a write expects of its topic', () => {
    test('create makes a missing topic and accepts an existing one as it is', async () => {
      const { broker } = await open();
      const made = await append(broker, CHAT, minor('a'));
      expect((await append(broker, CHAT, minor('b'))).epoch).toBe(made.epoch);
    });

    test('absent makes the topic, and conflicts when there is one', async () => {
      const { broker } = await open();
      expect(await append(broker, CHAT, minor('a'), { expect: { absent: true } })).toMatchObject({ first: 0, next: 1 });
      expect(await outcome(append(broker, CHAT, minor('b'), { expect: { absent: true } }))).toBe('conflict');
      expect(await readLines(broker, CHAT)).toEqual(['0m:a']);
    });

    test('absent lets exactly one of many concurrent appends make the topic', async () => {
      const { broker } = await open();
      const outcomes = await Promise.all(
        Array.from({ length: 10 }, (_, i) =>
          outcome(append(broker, CHAT, major(`by ${i}`), { expect: { absent: true } })),
        ),
      );
      expect(outcomes.toSorted()).toEqual(['accepted', ...Array<string>(9).fill('conflict')]);
      expect(await readLines(broker, CHAT)).toEqual([`0M:by ${outcomes.indexOf('accepted')}`]);
    });

    test('an epoch refuses a missing topic and creates nothing', async () => {
      const { broker } = await open();
      expect(await outcome(append(broker, CHAT, minor('a'), { expect: { epoch: 'gone' } }))).toBe('epoch-changed');
      expect(await isMissing(broker, CHAT)).toBe(true);
      expect(await broker.read(CHAT, 'earliest')).toEqual({ kind: 'missing' });
    });

    test('an epoch refuses another epoch of the topic', async () => {
      const { broker } = await open();
      const { epoch } = await append(broker, CHAT, minor('a'));
      expect(await append(broker, CHAT, minor('b'), { expect: { epoch } })).toMatchObject({ first: 1 });
      await broker.remove(CHAT);
      await append(broker, CHAT, minor('c'));
      expect(await outcome(append(broker, CHAT, minor('d'), { expect: { epoch } }))).toBe('epoch-changed');
      expect(await readLines(broker, CHAT)).toEqual(['0m:c']);
    });
  });

  describe('ifUnchanged', () => {
    test('refuses only when a major record comes after the position', async () => {
      const { broker } = await open();
      const { epoch } = await append(broker, CHAT, [...major('0'), ...minor('1'), ...major('2'), ...minor('3')]);
      const after = (offset: number): Promise<string> =>
        outcome(append(broker, CHAT, [], { ifUnchanged: { epoch, offset } }));
      expect(await Promise.all([-1, 0, 1, 2, 3].map(after))).toEqual([
        'conflict',
        'conflict',
        'conflict',
        'accepted',
        'accepted',
      ]);
    });

    test('refuses any major record when it is at -1', async () => {
      const { broker } = await open();
      const { epoch } = await append(broker, CHAT, minor('a', 'b'));
      expect(await outcome(append(broker, CHAT, major('c'), { ifUnchanged: { epoch, offset: -1 } }))).toBe('accepted');
      expect(await outcome(append(broker, CHAT, major('d'), { ifUnchanged: { epoch, offset: -1 } }))).toBe('conflict');
      expect(await readLines(broker, CHAT)).toEqual(['0m:a', '1m:b', '2M:c']);
    });

    test.each(['missing', 'in another epoch'])(
      'is epoch-changed when the topic is %s, whatever the append may create',
      async (state) => {
        const { broker } = await open();
        if (state !== 'missing') await append(broker, CHAT, minor('a'));
        expect(await outcome(append(broker, CHAT, major('b'), { ifUnchanged: { epoch: 'gone', offset: 0 } }))).toBe(
          'epoch-changed',
        );
        expect(await isMissing(broker, CHAT)).toBe(state === 'missing');
      },
    );

    test('holds when 500 minor records arrive meanwhile', async () => {
      const { broker } = await open();
      let { epoch, first } = await append(broker, CHAT, major('start'));
      const tokens = Array.from({ length: 500 }, (_, i) => append(broker, CHAT, minor(`t${i}`)));
      for (let i = 0; i < 25; i += 1)
        ({ epoch, first } = await append(broker, CHAT, major(`m${i}`), { ifUnchanged: { epoch, offset: first } }));
      await Promise.all(tokens);
      expect(await outcome(append(broker, CHAT, major('last'), { ifUnchanged: { epoch, offset: first } }))).toBe(
        'accepted',
      );
      expect(
        (await readLines(broker, CHAT, 'earliest', { majorOnly: true })).map((line) => line.split('M:')[1]),
      ).toEqual(['start', ...Array.from({ length: 25 }, (_, i) => `m${i}`), 'last']);
    });

    test('lets exactly one of many appends with the same position win', async () => {
      const { broker } = await open();
      const { epoch, first } = await append(broker, CHAT, major('start'));
      const outcomes = await Promise.all(
        Array.from({ length: 20 }, (_, i) =>
          outcome(append(broker, CHAT, major(`${i}`), { ifUnchanged: { epoch, offset: first } })),
        ),
      );
      expect(outcomes.filter((one) => one === 'accepted')).toHaveLength(1);
      expect(outcomes.filter((one) => one === 'conflict')).toHaveLength(19);
      expect(await readLines(broker, CHAT)).toEqual(['0M:start', `1M:${outcomes.indexOf('accepted')}`]);
    });
  });

  describe('an append to several topics is all or nothing', () => {
    const A = topicName('a/one');
    const B = topicName('b/one');

    async function prepare(broker: Broker): Promise<string> {
      await append(broker, B, major('b0'), { takeFence: true });
      await append(broker, B, major('b1'));
      return (await infoOf(broker, B)).epoch;
    }

    const refusals: readonly {
      readonly what: string;
      readonly code: string;
      readonly refused: (epoch: string) => Partial<TopicWrite>;
    }[] = [
      { what: 'another epoch', code: 'epoch-changed', refused: () => ({ expect: { epoch: 'gone' } }) },
      {
        what: 'a major record meanwhile',
        code: 'conflict',
        refused: (epoch) => ({ ifUnchanged: { epoch, offset: 0 } }),
      },
      { what: 'a topic that exists', code: 'conflict', refused: () => ({ expect: { absent: true } }) },
      {
        what: 'another fence',
        code: 'fenced',
        refused: (epoch) => ({ expect: { epoch }, fence: { fence: 7, seq: 1 } }),
      },
      {
        what: 'a skipped seq',
        code: 'out-of-sequence',
        refused: (epoch) => ({ expect: { epoch }, fence: { fence: 0, seq: 2 } }),
      },
      { what: 'a superseded major record', code: 'invalid-append', refused: () => ({ supersedes: [[0, 0]] }) },
      { what: 'a superseded future', code: 'invalid-append', refused: () => ({ supersedes: [[0, 9]] }) },
    ];

    test.each(
      refusals.flatMap((one) => [
        { ...one, place: 'first' },
        { ...one, place: 'last' },
      ]),
    )('$what in the $place write leaves every topic as it was', async ({ code, refused, place }) => {
      const { broker } = await open();
      const epoch = await prepare(broker);
      const before = await broker.describe([A, B]);
      const bad = { ...write(B, major('never')), ...refused(epoch) };
      const good = write(A, major('never'), { ttlMs: 60_000, priority: 'high' });
      expect(await outcome(broker.append(place === 'first' ? [bad, good] : [good, bad]))).toBe(code);
      expect(await broker.describe([A, B])).toEqual(before);
      expect(await readLines(broker, B)).toEqual(['0M:b0', '1M:b1']);
      expect(await broker.read(A, 'earliest')).toEqual({ kind: 'missing' });
    });

    test('so that a reader never finds one half without the other', async () => {
      const { broker } = await open();
      await broker.append([write(A, minor('0')), write(B, minor('0'))]);
      const writing = Promise.all(
        Array.from({ length: 100 }, (_, i) => broker.append([write(A, minor(`${i}`)), write(B, minor(`${i}`))])),
      );
      for (let done = false; !done;) {
        const [a, b] = await broker.describe([A, B]);
        // The broker described B no earlier than A, so B may be ahead of A, never behind.
        expect(b?.next).toBeGreaterThanOrEqual(a?.next ?? Infinity);
        done = a?.next === 101;
        // Otherwise an engine that answers from memory would keep the event loop from ever finishing a write.
        await turn();
      }
      await writing;
    });
  });
}

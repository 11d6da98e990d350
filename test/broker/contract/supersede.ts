// The contract on superseding: a replaced record becomes a declared hole at its own offset, permanently.
import { describe, expect, test } from 'vitest';
import type { Broker } from '../../../src/broker/broker.ts';
import { CHAT, CollectedTail, append, batchOf, infoOf, lines, major, minor, outcome, readLines } from './subject.ts';
import type { OpenSubject } from './subject.ts';

/** Appends 0M 1m … 6m 7M, then a write at 8 that supersedes the given ranges. */
async function chatWithHole(broker: Broker, supersedes: readonly (readonly [number, number])[]): Promise<string> {
  const { epoch } = await append(broker, CHAT, [
    ...major('ask'),
    ...minor('1', '2', '3', '4', '5', '6'),
    ...major('stop'),
  ]);
  await append(broker, CHAT, major('answer', 'end'), { supersedes });
  return epoch;
}

export function supersedeContract(open: OpenSubject): void {
  describe('superseded records', () => {
    test('are a declared hole at their own offsets, in both directions', async () => {
      const { broker } = await open();
      await chatWithHole(broker, [[1, 5]]);
      const story = ['0M:ask', '1-5>8', '6m:6', '7M:stop', '8M:answer', '9M:end'];
      expect(await readLines(broker, CHAT)).toEqual(story);
      expect(await readLines(broker, CHAT, 'end', { direction: 'backward' })).toEqual(story.toReversed());
    });

    test('may be the last record of a list that an empty major record guards', async () => {
      const { broker } = await open();
      const { epoch } = await append(broker, CHAT, [...major(''), ...minor('one')]);
      const next = { ifUnchanged: { epoch, offset: 1 }, supersedes: [[1, 1]] as const };
      await append(broker, CHAT, [...major(''), ...minor('two')], next);
      expect(await outcome(append(broker, CHAT, [...major(''), ...minor('three')], next))).toBe('conflict');
      expect(await readLines(broker, CHAT)).toEqual(['0M:', '1-1>2', '2M:', '3m:two']);
    });

    test('may be several ranges of one write, and adjacent ranges join', async () => {
      const { broker } = await open();
      await chatWithHole(broker, [
        [1, 1],
        [3, 4],
        [5, 6],
      ]);
      expect(await readLines(broker, CHAT)).toEqual([
        '0M:ask',
        '1-1>8',
        '2m:2',
        '3-6>8',
        '7M:stop',
        '8M:answer',
        '9M:end',
      ]);
    });

    test('leave every position inside the hole valid: the reader gets the rest of the hole', async () => {
      const { broker } = await open();
      const epoch = await chatWithHole(broker, [[1, 6]]);
      for (let offset = 1; offset <= 6; offset += 1) {
        const rest = batchOf(await broker.read(CHAT, { epoch, offset }, { maxRecords: 1 }));
        expect(lines(rest.items)).toEqual([`${offset}-6>8`]);
        const back = batchOf(await broker.read(CHAT, { epoch, offset }, { maxRecords: 1, direction: 'backward' }));
        expect(lines(back.items)).toEqual([`1-${offset}>8`]);
      }
    });

    test('join page by page in both directions', async () => {
      const { broker } = await open();
      await chatWithHole(broker, [
        [1, 2],
        [4, 6],
      ]);
      const story = ['0M:ask', '1-2>8', '3m:3', '4-6>8', '7M:stop', '8M:answer', '9M:end'];
      expect(await readLines(broker, CHAT, 'earliest', { maxRecords: 1 })).toEqual(story);
      expect(await readLines(broker, CHAT, 'end', { direction: 'backward', maxRecords: 1 })).toEqual(
        story.toReversed(),
      );
    });

    test('no longer count in the size of the topic, and change neither its head nor its last major record', async () => {
      const { broker } = await open();
      await append(broker, CHAT, [...major('ask'), ...minor('€€', 'bb', 'cc')]);
      await append(broker, CHAT, minor('x'), { supersedes: [[1, 2]] });
      expect(await infoOf(broker, CHAT)).toMatchObject({ bytes: 3 + 2 + 1, next: 5, lastMajor: 0 });
    });

    test('are not shown to a reader of major records', async () => {
      const { broker } = await open();
      await chatWithHole(broker, [[1, 6]]);
      expect(await readLines(broker, CHAT, 'earliest', { majorOnly: true })).toEqual([
        '0M:ask',
        '7M:stop',
        '8M:answer',
        '9M:end',
      ]);
    });

    test('may be earlier holes, which the newest write then declares', async () => {
      const { broker } = await open();
      await append(broker, CHAT, minor('0', '1', '2', '3', '4'));
      await append(broker, CHAT, minor('5'), { supersedes: [[1, 2]] });
      await append(broker, CHAT, minor('6'), { supersedes: [[0, 3]] });
      expect(await readLines(broker, CHAT)).toEqual(['0-3>6', '4m:4', '5m:5', '6m:6']);
    });

    test('may be a part of an earlier hole, which keeps the rest of its range', async () => {
      const { broker } = await open();
      await append(broker, CHAT, minor('0', '1', '2', '3', '4', '5'));
      await append(broker, CHAT, minor('6'), { supersedes: [[0, 4]] });
      await append(broker, CHAT, minor('7'), { supersedes: [[1, 2]] });
      const story = ['0-0>6', '1-2>7', '3-4>6', '5m:5', '6m:6', '7m:7'];
      expect(await readLines(broker, CHAT)).toEqual(story);
      expect(await readLines(broker, CHAT, 'end', { direction: 'backward' })).toEqual(story.toReversed());
    });

    test('may be records that superseded others, as in a cursor of which only the last is kept', async () => {
      const { broker } = await open();
      await append(broker, CHAT, minor('at 0'));
      for (let i = 1; i <= 50; i += 1) await append(broker, CHAT, minor(`at ${i}`), { supersedes: [[0, i - 1]] });
      expect(await readLines(broker, CHAT)).toEqual(['0-49>50', '50m:at 50']);
      expect((await infoOf(broker, CHAT)).bytes).toBe(5);
    });

    test.each([
      ['a major record', [[0, 0]]],
      ['a range with a major record at its start', [[0, 1]]],
      ['a range with a major record at its end', [[6, 7]]],
      [
        'a major record in the second range',
        [
          [1, 2],
          [7, 7],
        ],
      ],
      ['the write itself', [[8, 8]]],
      [
        'what does not exist yet',
        [
          [6, 6],
          [9, 12],
        ],
      ],
    ] as const)('may not be %s', async (_what, supersedes) => {
      const { broker } = await open();
      await append(broker, CHAT, [...major('ask'), ...minor('1', '2', '3', '4', '5', '6'), ...major('stop')]);
      const before = await infoOf(broker, CHAT);
      expect(await outcome(append(broker, CHAT, minor('x'), { supersedes }))).toBe('invalid-append');
      expect(await infoOf(broker, CHAT)).toEqual(before);
      expect(await readLines(broker, CHAT, 'earliest')).toHaveLength(8);
    });

    test('may be a minor record whose append is under way, and not a major one', async () => {
      const { broker } = await open();
      await append(broker, CHAT, minor('0'));
      const under = [append(broker, CHAT, minor('1')), append(broker, CHAT, major('2'))];
      const refused = append(broker, CHAT, minor('x'), { supersedes: [[1, 2]] });
      const accepted = append(broker, CHAT, minor('3'), { supersedes: [[1, 1]] });
      expect(await outcome(refused)).toBe('invalid-append');
      await Promise.all([...under, accepted]);
      expect(await readLines(broker, CHAT)).toEqual(['0m:0', '1-1>3', '2M:2', '3m:3']);
    });

    test('may not be in a topic that does not exist, and do not make one', async () => {
      const { broker } = await open();
      expect(await outcome(append(broker, CHAT, minor('x'), { supersedes: [[0, 0]] }))).toBe('invalid-append');
      expect(await broker.read(CHAT, 'earliest')).toEqual({ kind: 'missing' });
    });

    test('reach a fast reader as records, and a slow reader as the hole that replaced them', async () => {
      const { broker } = await open();
      const { epoch } = await append(broker, CHAT, minor('0', '1', '2'));
      const fast = new CollectedTail(broker, CHAT, { epoch, offset: 0 });
      expect(await fast.reached(3)).toEqual(['0m:0', '1m:1', '2m:2']);
      await append(broker, CHAT, major('012'), { supersedes: [[0, 2]] });
      expect(await fast.reached(4)).toEqual(['0m:0', '1m:1', '2m:2', '3M:012']);
      const slow = new CollectedTail(broker, CHAT, { epoch, offset: 1 });
      expect(await slow.reached(4)).toEqual(['1-2>3', '3M:012']);
    });
  });
}

// The contract on reading: exactly the records after a position, in order, or a reset that says why not.
import { describe, expect, test } from 'vitest';
import type { Broker } from '../../../src/broker/broker.ts';
import { turn } from '../../support/wait-for.ts';
import { CHAT, append, assertJoined, batchOf, isMissing, lines, major, minor, readLines } from './subject.ts';
import type { OpenSubject } from './subject.ts';

const STORY = ['0M:ask', '1-3>7', '4m:d', '5M:stop', '6m:e', '7M:answer', '8m:f'];
const MAJORS = ['0M:ask', '5M:stop', '7M:answer'];

async function tell(broker: Broker): Promise<string> {
  const { epoch } = await append(broker, CHAT, [
    ...major('ask'),
    ...minor('a', 'b', 'c', 'd'),
    ...major('stop'),
    ...minor('e'),
  ]);
  await append(broker, CHAT, major('answer'), { supersedes: [[1, 3]] });
  await append(broker, CHAT, minor('f'));
  return epoch;
}

export function readContract(open: OpenSubject): void {
  describe('read', () => {
    test('returns exactly the rest forward from every position', async () => {
      const { broker } = await open();
      const epoch = await tell(broker);
      const rests = [
        STORY,
        ...['1-3>7', '2-3>7', '3-3>7'].map((hole) => [hole, ...STORY.slice(2)]),
        ...[2, 3, 4, 5, 6].map((n) => STORY.slice(n)),
        [],
      ];
      for (const [offset, rest] of rests.entries()) {
        for (const maxRecords of [1, 2, 100])
          expect(await readLines(broker, CHAT, { epoch, offset }, { maxRecords })).toEqual(rest);
      }
    });

    test('returns exactly the earlier records and the record itself backward from every position', async () => {
      const { broker } = await open();
      const epoch = await tell(broker);
      const rests = [
        ['0M:ask'],
        ['1-1>7', '0M:ask'],
        ['1-2>7', '0M:ask'],
        ...[2, 3, 4, 5, 6, 7].map((n) => STORY.slice(0, n).reverse()),
      ];
      for (const [offset, rest] of rests.entries()) {
        for (const maxRecords of [1, 2, 100])
          expect(await readLines(broker, CHAT, { epoch, offset }, { maxRecords, direction: 'backward' })).toEqual(rest);
      }
    });

    test('starts at the earliest record or at the end', async () => {
      const { broker } = await open();
      await tell(broker);
      expect(await readLines(broker, CHAT, 'earliest')).toEqual(STORY);
      expect(await readLines(broker, CHAT, 'end', { direction: 'backward' })).toEqual(STORY.toReversed());
    });

    test('says where the next read continues, and whether it reached the last visible record', async () => {
      const { broker } = await open();
      const epoch = await tell(broker);
      const where = async (offset: number, maxRecords: number): Promise<unknown> => {
        const { next, end } = batchOf(await broker.read(CHAT, { epoch, offset }, { maxRecords }));
        return [next, end];
      };
      expect(await where(0, 1)).toEqual([1, false]);
      expect(await where(0, 2)).toEqual([4, false]);
      expect(await where(7, 1)).toEqual([8, false]);
      expect(await where(7, 2)).toEqual([9, true]);
      expect(await where(9, 1)).toEqual([9, true]);
    });

    test('ends with -1 backward exactly when it has reached offset 0', async () => {
      const { broker } = await open();
      const epoch = await tell(broker);
      const where = async (offset: number, maxRecords: number): Promise<unknown> => {
        const { next, end } = batchOf(
          await broker.read(CHAT, { epoch, offset }, { maxRecords, direction: 'backward' }),
        );
        return [next, end];
      };
      expect(await where(4, 2)).toEqual([0, false]);
      expect(await where(0, 1)).toEqual([-1, true]);
      expect(await where(4, 3)).toEqual([-1, true]);
      expect(await where(-1, 1)).toEqual([-1, true]);
    });

    test('returns an empty end for an empty topic in both directions', async () => {
      const { broker } = await open();
      const { epoch } = await append(broker, CHAT, []);
      expect(await broker.read(CHAT, 'earliest')).toEqual({ kind: 'batch', epoch, items: [], next: 0, end: true });
      expect(await broker.read(CHAT, { epoch, offset: 0 })).toEqual({
        kind: 'batch',
        epoch,
        items: [],
        next: 0,
        end: true,
      });
      expect(await broker.read(CHAT, 'end', { direction: 'backward' })).toEqual({
        kind: 'batch',
        epoch,
        items: [],
        next: -1,
        end: true,
      });
    });

    test('changes nothing', async () => {
      const { broker } = await open();
      await tell(broker);
      const before = await broker.describe([CHAT]);
      for (let i = 0; i < 3; i += 1) expect(await readLines(broker, CHAT)).toEqual(STORY);
      expect(await broker.describe([CHAT])).toEqual(before);
    });

    test('returns at least one record even above maxBytes, and continues from there', async () => {
      const { broker } = await open();
      await append(broker, CHAT, minor('x'.repeat(1000), 'y'.repeat(2000), 'z'));
      for (const direction of ['forward', 'backward'] as const) {
        const from = direction === 'forward' ? 'earliest' : 'end';
        expect(batchOf(await broker.read(CHAT, from, { direction, maxBytes: 1 })).items).toHaveLength(1);
        expect(await readLines(broker, CHAT, from, { direction, maxBytes: 1 })).toHaveLength(3);
      }
    });

    test('counts maxBytes in UTF-8', async () => {
      const { broker } = await open();
      await append(broker, CHAT, minor(...Array.from({ length: 10 }, () => '€'.repeat(1000))));
      const { items } = batchOf(await broker.read(CHAT, 'earliest', { maxBytes: 6000 }));
      // maxBytes is a hint: one more record would also be correct.
      expect(items.length).toBeGreaterThanOrEqual(1);
      expect(items.length).toBeLessThanOrEqual(3);
    });

    test('returns a bounded page without options', async () => {
      const { broker } = await open();
      for (let i = 0; i < 5; i += 1)
        await append(broker, CHAT, minor(...Array.from({ length: 1000 }, (_, j) => `${i}.${j}`)));
      const first = batchOf(await broker.read(CHAT, 'earliest'));
      expect(first).toMatchObject({ next: 4096, end: false });
      expect(await readLines(broker, CHAT)).toHaveLength(5000);
      const wide = Array.from({ length: 6 }, () => 'w'.repeat(100 * 1024));
      const { first: start, epoch } = await append(broker, CHAT, minor(...wide));
      const page = batchOf(await broker.read(CHAT, { epoch, offset: start }));
      expect(page.items.length).toBeLessThanOrEqual(3);
      expect(page.end).toBe(false);
    });

    test('never shows less than before while appends and supersedes race with it', async () => {
      const { broker } = await open();
      const { epoch } = await append(broker, CHAT, minor('0'));
      const writing = (async () => {
        for (let i = 1; i <= 100; i += 1)
          await append(broker, CHAT, minor(`${i}`), i % 10 === 0 ? { supersedes: [[i - 9, i - 1]] } : {});
      })();
      for (let next = 0; next < 101;) {
        const page = batchOf(await broker.read(CHAT, { epoch, offset: 0 }));
        assertJoined(page.items, 'forward');
        expect(page.next).toBeGreaterThanOrEqual(next);
        next = page.next;
        // Otherwise an engine that answers from memory would keep the event loop from ever finishing a write.
        await turn();
      }
      await writing;
    });
  });

  describe('read with majorOnly', () => {
    test('skips minor records and holes without a notice, in both directions and page by page', async () => {
      const { broker } = await open();
      await tell(broker);
      for (const maxRecords of [1, 2, 100]) {
        expect(await readLines(broker, CHAT, 'earliest', { majorOnly: true, maxRecords })).toEqual(MAJORS);
        expect(await readLines(broker, CHAT, 'end', { majorOnly: true, maxRecords, direction: 'backward' })).toEqual(
          MAJORS.toReversed(),
        );
      }
    });

    test('returns the major records of the rest from every position', async () => {
      const { broker } = await open();
      const epoch = await tell(broker);
      const offsets = [0, 5, 7];
      for (let offset = 0; offset <= 8; offset += 1) {
        expect(await readLines(broker, CHAT, { epoch, offset }, { majorOnly: true })).toEqual(
          MAJORS.filter((_, i) => (offsets[i] ?? 0) >= offset),
        );
        const back = await readLines(broker, CHAT, { epoch, offset }, { majorOnly: true, direction: 'backward' });
        expect(back).toEqual(MAJORS.filter((_, i) => (offsets[i] ?? 0) <= offset).reverse());
      }
    });

    test('says that the end is reached, and continues behind what it skipped', async () => {
      const { broker } = await open();
      const epoch = await tell(broker);
      expect(batchOf(await broker.read(CHAT, { epoch, offset: 6 }, { majorOnly: true }))).toMatchObject({
        next: 9,
        end: true,
      });
      expect(batchOf(await broker.read(CHAT, { epoch, offset: 8 }, { majorOnly: true }))).toMatchObject({
        items: [],
        next: 9,
        end: true,
      });
      await append(broker, CHAT, minor('g'));
      expect(batchOf(await broker.read(CHAT, { epoch, offset: 9 }, { majorOnly: true }))).toMatchObject({
        items: [],
        next: 10,
        end: true,
      });
    });

    test('finds the few major records among many minor ones', async () => {
      const { broker } = await open();
      for (let i = 0; i < 10; i += 1)
        await append(broker, CHAT, [...major(`M${i}`), ...minor(...Array.from({ length: 999 }, () => 'm'))]);
      const { items, end } = batchOf(await broker.read(CHAT, 'earliest', { majorOnly: true, maxRecords: 10 }));
      expect(lines(items)).toEqual(Array.from({ length: 10 }, (_, i) => `${i * 1000}M:M${i}`));
      expect(end).toBe(true);
    });
  });

  describe('a position that cannot be served', () => {
    test("is reset{epoch-changed} with the topic's present epoch and head when it is in another epoch", async () => {
      const { broker } = await open();
      const { epoch } = await append(broker, CHAT, minor('a', 'b'));
      expect(await broker.read(CHAT, { epoch: 'other', offset: 0 })).toEqual({
        kind: 'reset',
        reason: 'epoch-changed',
        epoch,
        earliest: 0,
        next: 2,
      });
    });

    test('is reset{ahead-of-log} in both directions when it is beyond the head; the head itself is not', async () => {
      const { broker } = await open();
      const { epoch } = await append(broker, CHAT, minor('a', 'b'));
      const reset = { kind: 'reset', reason: 'ahead-of-log', epoch, earliest: 0, next: 2 };
      expect(await broker.read(CHAT, { epoch, offset: 3 })).toEqual(reset);
      expect(await broker.read(CHAT, { epoch, offset: 3 }, { direction: 'backward' })).toEqual(reset);
      expect(await broker.read(CHAT, { epoch, offset: 2 })).toMatchObject({
        kind: 'batch',
        items: [],
        next: 2,
        end: true,
      });
    });

    test('is missing when the topic never existed, and stays so', async () => {
      const { broker } = await open();
      for (const from of ['earliest', 'end', { epoch: 'e', offset: 0 }] as const) {
        expect(await broker.read(CHAT, from, { direction: 'backward' })).toEqual({ kind: 'missing' });
      }
      expect(await isMissing(broker, CHAT)).toBe(true);
    });
  });
}

// The check of all records: it finds exactly the damage that readers find, names its place, and every chat beside it
// reads back whole.
import { open, readdir, readFile, truncate, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { BrokerEngine } from '../../../src/broker/broker.ts';
import type { CheckedPage, DamagedTopic } from '../../../src/broker/health.ts';
import type { LiteTopicName } from '../../../src/broker/lite-topic.ts';
import { append, major, minor, outcome, readLines, topicName } from '../contract/subject.ts';
import { eventually } from '../../support/wait-for.ts';
import { FaultyFiles } from './faulty-files.ts';
import { crashCopy, type OpenedLog, openLog, segmentPath } from './opened-log.ts';

const CHATS = ['chat/a', 'chat/b', 'chat/c', 'list/d'].map(topicName);
const ROUNDS = 12;
/** No read is served from memory. */
const LIMITS = { segmentBytes: 2048, recentBytes: 0 };

function lineOf(chat: string, round: number): string {
  return `${round}m:${textOf(chat, round)}`;
}

function textOf(chat: string, round: number): string {
  return `${chat} ${round} `.repeat(12);
}

async function writtenLog(files = new FaultyFiles()): Promise<OpenedLog> {
  const log = await openLog({ limits: LIMITS, files });
  for (let round = 0; round < ROUNDS; round++)
    for (const chat of CHATS) await append(log.broker, chat, minor(textOf(chat, round)));
  return { ...log, broker: await log.reopen() };
}

interface CheckedAll extends Omit<CheckedPage, 'after'> {
  readonly pages: number;
}

async function checkAll(broker: BrokerEngine): Promise<CheckedAll> {
  const damaged: DamagedTopic[] = [];
  let [topics, records, bytes, pages] = [0, 0, 0, 0];
  let after: LiteTopicName | undefined;
  do {
    const page = await broker.check?.(after);
    if (page === undefined) throw new Error('the engine has no check');
    damaged.push(...page.damaged);
    [topics, records, bytes, pages] = [topics + page.topics, records + page.records, bytes + page.bytes, pages + 1];
    after = page.after;
  } while (after !== undefined);
  return { topics, records, bytes, damaged, pages };
}

/** Each chat is read whole, or what is missing of it is declared. Returns the names of the latter. */
async function damagedChats(broker: BrokerEngine): Promise<string[]> {
  const damaged: string[] = [];
  for (const chat of CHATS) {
    const lines = await readLines(broker, chat);
    const lost = lines.flatMap((line) => /^(\d+)-(\d+) lost$/.exec(line)?.slice(1).map(Number) ?? []);
    const isLost = (offset: number): boolean =>
      lost.some((from, i) => i % 2 === 0 && from <= offset && offset <= (lost[i + 1] ?? from));
    const whole = Array.from({ length: ROUNDS }, (_, round) => lineOf(chat, round));
    expect(lines.filter((line) => !line.endsWith(' lost'))).toEqual(whole.filter((_, offset) => !isLost(offset)));
    if (lost.length > 0) damaged.push(chat);
  }
  return damaged;
}

/** An engine on a copy of the folder, closed with the use. */
async function onCopy(folder: string, use: (broker: BrokerEngine) => Promise<void>): Promise<void> {
  const { broker } = await openLog({ folder: await crashCopy(folder), limits: LIMITS });
  await use(broker);
  await broker.close();
}

function namesOf(damaged: readonly DamagedTopic[]): string[] {
  return damaged.map(({ topic }) => topic);
}

/** The last segment is the current one. */
const SEALED = [1, 2, 3];

describe('a check of a log', () => {
  test('counts every live record of every topic, also those that no checkpoint has written yet', async () => {
    const { broker } = await writtenLog();
    await append(broker, topicName('chat/new'), [...major('ask'), ...minor('a', 'b')]);
    await append(broker, topicName('chat/new'), major('ab'), { supersedes: [[1, 2]] });
    expect(await checkAll(broker)).toMatchObject({ topics: 5, records: CHATS.length * ROUNDS + 2, damaged: [] });
    expect(broker.health().state).toBe('ready');
  });

  test('goes in pages over many topics', async () => {
    const { broker, reopen } = await openLog({ limits: { ...LIMITS, sliceItems: 2 } });
    for (const chat of CHATS) await append(broker, chat, minor('x'));
    const { pages, ...rest } = await checkAll(await reopen({ limits: { sliceItems: 2 } }));
    expect(rest).toMatchObject({ topics: 4, records: 4, damaged: [] });
    expect(pages).toBeGreaterThan(1);
  });

  test('names the offsets, the segment and the byte of a damaged record, and the account lists it', async () => {
    const { broker, folder } = await writtenLog();
    const bytes = await readFile(segmentPath(folder, 1));
    const at = bytes.indexOf(textOf('chat/b', 1));
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    await writeFile(segmentPath(folder, 1), bytes);
    const { damaged } = await checkAll(broker);
    expect(damaged).toEqual([
      {
        topic: 'chat/b',
        records: 1,
        ranges: [
          {
            from: 1,
            to: 1,
            segment: 1,
            position: expect.any(Number) as number,
            what: 'a frame does not match its checksum',
          },
        ],
      },
    ]);
    const position = damaged[0]?.ranges[0]?.position ?? 0;
    expect(position).toBeLessThan(at);
    expect(position).toBeGreaterThan(at - 100);
    expect(broker.damaged?.()).toEqual(damaged);
    expect(broker.health()).toMatchObject({ state: 'degraded', damage: { topics: 1 } });
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    await writeFile(segmentPath(folder, 1), bytes);
    expect((await checkAll(broker)).damaged).toEqual([]);
    expect([broker.damaged?.(), broker.health().state]).toEqual([[], 'ready']);
  });

  test('finds a whole frame of another topic where the index expects a record', async () => {
    const { broker, folder } = await openLog({ limits: LIMITS });
    await append(broker, topicName('chat/a'), minor('same length'));
    await append(broker, topicName('chat/b'), minor('same length'));
    const path = segmentPath(folder, 1);
    const bytes = await readFile(path);
    const clean = await checkAll(broker);
    expect(clean.damaged).toEqual([]);
    const first = bytes.indexOf('chat/a');
    const second = bytes.indexOf('chat/b');
    // The frame's head and what comes before the name: length, checksum, kind, number of writes, length of the name.
    const begin = bytes.indexOf('same length') - first + 8 + 3;
    const length = begin + 'same length'.length;
    bytes.copy(bytes, second - 11, first - 11, first - 11 + length);
    await writeFile(path, bytes);
    expect((await checkAll(broker)).damaged).toMatchObject([
      { topic: 'chat/b', records: 1, ranges: [{ what: 'offset 0 is not where the index says' }] },
    ]);
  });

  test('reports what the device cannot read, and fails on an error that is no damage', async () => {
    const files = new FaultyFiles();
    const { broker } = await writtenLog(files);
    files.failRead = 'EIO';
    const { damaged } = await checkAll(broker);
    expect(namesOf(damaged)).toEqual(CHATS);
    files.failRead = 'EMFILE';
    await expect(checkAll(broker)).rejects.toThrow('EMFILE');
    files.failRead = undefined;
    expect((await checkAll(broker)).damaged).toEqual([]);
  });

  test('finds no damage in a topic that ends while it is checked', async () => {
    const { broker } = await writtenLog();
    const checking = checkAll(broker);
    for (const chat of CHATS) await broker.remove(chat);
    expect((await checking).damaged).toEqual([]);
    expect(await checkAll(broker)).toMatchObject({ topics: 0, records: 0 });
  });

  test('ends with the engine, and takes no closed file for damage', async () => {
    const { broker } = await writtenLog();
    const checking = outcome(checkAll(broker));
    await broker.close();
    expect(await checking).toBe('closed');
    expect(broker.damaged?.()).toEqual([]);
  });
});

describe('damage in a sealed segment', () => {
  test('costs exactly the chats whose records it hits, wherever one bit is flipped', async () => {
    const { broker, folder } = await writtenLog();
    const costs = new Set<number>();
    for (const segment of SEALED) {
      const file = await open(segmentPath(folder, segment), 'r+');
      onTestFinished(() => file.close());
      const bytes = await file.readFile();
      for (let at = 0; at < bytes.length; at += 11) {
        const byte = bytes[at] ?? 0;
        await file.write(Buffer.from([byte ^ (1 << (at % 8))]), 0, 1, at);
        const found = namesOf((await checkAll(broker)).damaged);
        costs.add(found.length);
        if (at % 297 === 0) await onCopy(folder, async (copy) => expect(await damagedChats(copy)).toEqual(found));
        await file.write(Buffer.from([byte]), 0, 1, at);
      }
    }
    // A bit in the head of the segment or of a batch costs nothing; a bit in a frame costs one chat.
    expect([...costs].sort()).toEqual([0, 1]);
    expect((await checkAll(broker)).damaged).toEqual([]);
  });

  test('costs exactly the chats whose records are behind the end, wherever the segment is cut', async () => {
    const { broker, folder } = await writtenLog();
    for (const segment of SEALED) {
      const path = segmentPath(folder, segment);
      const bytes = await readFile(path);
      for (let size = 0; size < bytes.length; size += 97) {
        await truncate(path, size);
        const { damaged } = await checkAll(broker);
        expect(damaged.length).toBeGreaterThan(0);
        if (size % 485 === 0)
          await onCopy(folder, async (copy) => expect(await damagedChats(copy)).toEqual(namesOf(damaged)));
        for (const { ranges } of damaged)
          for (const { what } of ranges) expect(what).toMatch(new RegExp(`^segment ${segment} ends at byte \\d+$`));
        await writeFile(path, bytes);
      }
    }
    expect((await checkAll(broker)).damaged).toEqual([]);
  });

  test('costs exactly the chats whose records were in it, when its file is missing', async () => {
    const { broker, folder } = await writtenLog();
    await unlink(segmentPath(folder, 2));
    const { damaged } = await checkAll(broker);
    expect(damaged[0]?.ranges).toMatchObject([{ segment: 2, what: 'segment 2 is missing' }]);
    expect(await damagedChats(broker)).toEqual(namesOf(damaged));
    expect((await checkAll(broker)).damaged).toEqual(damaged);
  });
});

describe('a start without the file of a sealed segment', () => {
  test('serves every chat whose records are elsewhere, says so, and stays degraded until its topics are removed', async () => {
    const { broker, folder } = await writtenLog();
    for (const segment of SEALED) await append(broker, topicName(`chat/beside${segment}`), minor('whole'));
    await broker.close();
    for (const segment of SEALED) {
      const copy = await crashCopy(folder);
      await unlink(segmentPath(copy, segment));
      const warnings: string[] = [];
      const onWarning = (text: string): number => warnings.push(text);
      const { broker: again, reopen } = await openLog({ folder: copy, limits: LIMITS, onWarning });
      expect(warnings).toEqual([
        expect.stringMatching(
          `^files of the log are missing \\(1; segments ${segment}\\): the first read of a chat declares`,
        ),
      ]);
      expect(again.health()).toMatchObject({ state: 'degraded', damage: { topics: 0, missingSegments: 1 } });
      const { damaged } = await checkAll(again);
      for (const { ranges } of damaged) expect(ranges).toMatchObject([{ what: `segment ${segment} is missing` }]);
      expect(damaged.length).toBeGreaterThan(0);
      expect(await damagedChats(again)).toEqual(namesOf(damaged));
      expect(await readLines(again, topicName('chat/beside1'))).toEqual(['0m:whole']);
      // No topic points to the missing file any more, and the account keeps what was lost.
      const third = await reopen();
      expect(third.health()).toMatchObject({
        state: 'degraded',
        damage: { topics: damaged.length, missingSegments: 0 },
      });
      expect((await checkAll(third)).damaged).toEqual(damaged);
      for (const chat of CHATS) await third.remove(chat);
      expect(await readLines(third, topicName('chat/beside1'))).toEqual(['0m:whole']);
      expect(third.health().state).toBe('ready');
      expect((await reopen()).health().state).toBe('ready');
    }
  });

  test('serves every chat whose records are elsewhere when the file is cut off or overwritten', async () => {
    const { folder, broker } = await writtenLog();
    await broker.close();
    for (const segment of SEALED) {
      const bytes = await readFile(segmentPath(folder, segment));
      for (const damage of [
        Buffer.alloc(0),
        bytes.subarray(0, 40),
        bytes.subarray(0, 700),
        Buffer.alloc(bytes.length),
      ]) {
        await writeFile(segmentPath(folder, segment), damage);
        await onCopy(folder, async (again) => {
          const { damaged } = await checkAll(again);
          expect(damaged.length).toBeGreaterThan(0);
          expect(await damagedChats(again)).toEqual(namesOf(damaged));
        });
      }
      await writeFile(segmentPath(folder, segment), bytes);
    }
  });

  test('is refused, and changes nothing, when no file of the log is there', async () => {
    const { folder, broker, reopen } = await writtenLog();
    await broker.close();
    for (const name of await readdir(join(folder, 'log'))) await unlink(join(folder, 'log', name));
    for (let i = 0; i < 2; i++) await expect(reopen()).rejects.toThrow('every file of the log is missing in');
    expect(await readdir(join(folder, 'log'))).toEqual([]);
  });
});

test('a full device does not fail the engine when the file of a segment that it would empty is missing', async () => {
  const files = new FaultyFiles();
  const { broker, folder, fatal } = await writtenLog(files);
  await unlink(segmentPath(folder, 2));
  files.room = 0;
  expect(await outcome(append(broker, topicName('chat/new'), minor('x'.repeat(1500))))).toBe('disk-full');
  for (const chat of CHATS.slice(0, -1)) expect(await broker.remove(chat)).toBe(true);
  await eventually(() => broker.health().damage?.missingSegments === 1 || fatal.length > 0);
  expect(fatal).toEqual([]);
  expect(broker.health().damage?.missingSegments).toBe(1);
});

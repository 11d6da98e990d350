// The room of dead records comes back: segments with few live records are emptied and removed, with room on the disk
// and without, and live records are read as before.
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, test } from 'vitest';
import type { BrokerEngine } from '../../../src/broker/broker.ts';
import type { LiteTopicName } from '../../../src/broker/lite-topic.ts';
import { isCode } from '../../../src/broker/log/disk/log-files.ts';
import { DEFAULT_LIMITS } from '../../../src/broker/log/limits.ts';
import { append, CHAT, major, minor, outcome, readItems, readLines, topicName, write } from '../contract/subject.ts';
import { eventually, turn } from '../../support/wait-for.ts';
import { mountSmallDisk } from '../../process/small-disk.ts';
import { FaultyFiles } from './faulty-files.ts';
import { crashCopy, openLog, segmentPath, temporaryFolder } from './opened-log.ts';

const DISK_MEBIBYTES = 32;
const BIG = Array.from({ length: 10 }, (_, i) => topicName(`chat/big${i}`));
const LATER = Array.from({ length: 10 }, (_, i) => topicName(`chat/later${i}`));
const KEPT = Array.from({ length: 10 }, (_, i) => topicName(`chat/kept${i}`));
const { reserveBytes, reserveStepBytes } = DEFAULT_LIMITS;
/** No read may be served from memory. */
const LIMITS = { reserveBytes, reserveStepBytes, recentBytes: 0 };

/** Writes the records of all chats in turn: 10 MiB in 16 rounds. */
async function fillChats(broker: BrokerEngine, rounds = 16): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < BIG.length; i++) {
      const [big, later, kept] = [BIG[i], LATER[i], KEPT[i]];
      if (big === undefined || later === undefined || kept === undefined) continue;
      await append(broker, big, minor(`${round}`.repeat(40_000)));
      await append(broker, later, minor(`${round}`.repeat(round === 3 ? 20_000 : 10)));
      if (round % 4 === i % 4) await append(broker, kept, major(`${kept} ${round}`.repeat(round === 5 ? 1000 : 1)));
    }
  }
}

async function allLines(broker: BrokerEngine, topics: readonly LiteTopicName[]): Promise<string[][]> {
  const lines: string[][] = [];
  for (const topic of topics) lines.push(await readLines(broker, topic));
  return lines;
}

async function removeAll(broker: BrokerEngine, topics: readonly LiteTopicName[]): Promise<void> {
  for (const topic of topics) expect(await broker.remove(topic)).toBe(true);
}

test('removing chats frees room on a full disk although the segments hold other live chats, again and again', async (context) => {
  const disk = await mountSmallDisk(context, DISK_MEBIBYTES);
  const { broker, folder, fatal, reopen } = await openLog({ folder: disk.folder, limits: LIMITS });
  await fillChats(broker);
  const [kept, later] = [await allLines(broker, KEPT), await allLines(broker, LATER)];
  await disk.fill();
  expect(await outcome(append(broker, CHAT, minor('x'.repeat(8192))))).toBe('disk-full');
  await removeAll(broker, BIG);
  await eventually(async () => (await outcome(append(broker, CHAT, minor('x'.repeat(8192))))) === 'accepted');
  expect(await allLines(broker, KEPT)).toEqual(kept);
  expect(await allLines(broker, LATER)).toEqual(later);
  const { broker: crashed } = await openLog({ folder: await crashCopy(folder), limits: LIMITS });
  expect(await allLines(crashed, KEPT)).toEqual(kept);
  expect(await allLines(crashed, LATER)).toEqual(later);

  await fillChats(broker, 6);
  const keptTwice = await allLines(broker, KEPT);
  await disk.fill();
  expect(await outcome(append(broker, CHAT, minor('x'.repeat(8192))))).toBe('disk-full');
  await removeAll(broker, [...BIG, ...LATER]);
  await eventually(async () => (await outcome(append(broker, CHAT, minor('x'.repeat(8192))))) === 'accepted');
  expect(await allLines(broker, KEPT)).toEqual(keptTwice);
  const again = await reopen();
  expect(await allLines(again, KEPT)).toEqual(keptTwice);
  expect((await again.describe([...BIG, ...LATER])).filter((info) => info !== undefined)).toEqual([]);
  expect(fatal).toEqual([]);
});

test('a segment stays as it is when most of it is live, or when there is no room for its copy', async (context) => {
  const disk = await mountSmallDisk(context, DISK_MEBIBYTES);
  const { broker } = await openLog({ folder: disk.folder, limits: LIMITS });
  await fillChats(broker);
  const rest = BIG.slice(1);
  const before = await allLines(broker, rest);
  await disk.fill();
  expect(await outcome(append(broker, CHAT, minor('x'.repeat(8192))))).toBe('disk-full');
  await removeAll(broker, BIG.slice(0, 1));
  expect(await outcome(append(broker, CHAT, minor('x'.repeat(8192))))).toBe('disk-full');
  expect(await allLines(broker, rest)).toEqual(before);
});

test('a live record is kept when it shares a frame with a removed one', async (context) => {
  const disk = await mountSmallDisk(context, DISK_MEBIBYTES);
  const { broker, reopen } = await openLog({ folder: disk.folder, limits: LIMITS });
  const [one, other] = [topicName('chat/you/same'), topicName('list/you/same')];
  await fillChats(broker);
  await broker.append([write(one, minor('gone')), write(other, minor('x'.repeat(9000)))]);
  await disk.fill();
  expect(await outcome(append(broker, CHAT, minor('x'.repeat(8192))))).toBe('disk-full');
  await removeAll(broker, [...BIG, one]);
  await eventually(async () => (await outcome(append(broker, CHAT, minor('x'.repeat(8192))))) === 'accepted');
  const lines = [`0m:${'x'.repeat(9000)}`];
  expect(await readLines(broker, other)).toEqual(lines);
  expect(await readLines(await reopen(), other)).toEqual(lines);
});

test('a start removes a copy of a segment that an earlier build left behind', async () => {
  const folder = await temporaryFolder();
  const { reopen } = await openLog({ folder });
  const left = join(folder, 'log', '0000000000000001.seg.thin');
  await writeFile(left, 'half');
  await reopen();
  expect((await readdir(join(folder, 'log'))).filter((name) => name.endsWith('.thin'))).toEqual([]);
});

/** Short, because a test that waits for a checkpoint moves the clock by it again and again. */
const CHECKPOINT_MS = 100;
/** A log with room on its disk. */
const ROOMY = {
  checkpointIntervalMs: CHECKPOINT_MS,
  ...{ segmentBytes: 8 * 1024, checkpointBytes: 8 * 1024, recentBytes: 0, reclaimBytesPerSecond: Infinity },
  ...{ reserveBytes: 4096, reserveStepBytes: 1024 },
};
const NOTES = topicName('list/notes');
const TOKENS = 40;
/** What the frame of a record takes beside its text, about. */
const FRAME_BYTES = 48;

/** Twice what is live, two segments, and the one that is being written, in which nothing can be moved yet. */
function boundOf(live: number): number {
  return 2 * live + 3 * ROOMY.segmentBytes;
}

async function logBytes(folder: string): Promise<number> {
  let sum = 0;
  // A file may be removed meanwhile.
  for (const name of await readdir(join(folder, 'log')))
    sum += (await stat(join(folder, 'log', name)).catch(() => ({ size: 0 }))).size;
  return sum;
}

async function liveBytes(broker: BrokerEngine, topics: readonly LiteTopicName[]): Promise<number> {
  let sum = 0;
  for (const topic of topics)
    for (const item of await readItems(broker, topic))
      if (item.kind === 'record') sum += Buffer.byteLength(item.data) + FRAME_BYTES;
  return sum;
}

/** A crash copy of a folder whose files did not change meanwhile. */
async function quietCopy(folder: string): Promise<string> {
  for (;;) {
    const before = await readdir(join(folder, 'log'));
    const copy = await crashCopy(folder).catch((error: unknown) => {
      if (!isCode(error, 'ENOENT')) throw error;
      return undefined;
    });
    if (copy !== undefined && isDeepStrictEqual(before, await readdir(join(folder, 'log')))) return copy;
  }
}

function chatNames(count: number): LiteTopicName[] {
  return Array.from({ length: count }, (_, i) => topicName(`chat/c${i}`));
}

/** Streams an answer in each chat, supersedes its tokens, and writes a note. */
async function answerChats(broker: BrokerEngine, chats: readonly LiteTopicName[]): Promise<void> {
  for (const chat of chats) {
    const { first } = await append(broker, chat, major(`ask ${chat}`));
    const tokens = Array.from({ length: TOKENS }, (_, i) => append(broker, chat, minor(` token ${i} of ${chat}`)));
    await Promise.all(tokens);
    await append(broker, chat, major(`answer of ${chat} `.repeat(20)), { supersedes: [[first + 1, first + TOKENS]] });
    await append(broker, NOTES, major(`note on ${chat}`));
  }
}

describe('with room on the disk', () => {
  test('the log takes at most twice what is live, and a few segments, while answers are streamed', async () => {
    const { broker, folder, clock } = await openLog({ limits: ROOMY });
    const chats = chatNames(40);
    for (let i = 0; i < chats.length; i += 10) {
      await answerChats(broker, chats.slice(i, i + 10));
      const live = await liveBytes(broker, [...chats.slice(0, i + 10), NOTES]);
      await eventually(async () => {
        // What was emptied is removed with the next checkpoint.
        await clock.advance(CHECKPOINT_MS);
        return (await logBytes(folder)) <= boundOf(live);
      });
    }
    const lines = await allLines(broker, [...chats, NOTES]);
    const { broker: crashed } = await openLog({ folder: await quietCopy(folder), limits: ROOMY });
    expect(await allLines(crashed, [...chats, NOTES])).toEqual(lines);
  });

  test('what was emptied is removed without waiting for the checkpoint that is due, once the log is above its bound', async () => {
    const { broker, folder } = await openLog({ limits: { ...ROOMY, checkpointBytes: 1e9 } });
    const chats = chatNames(30);
    await answerChats(broker, chats);
    const live = await liveBytes(broker, [...chats, NOTES]);
    // The clock stands still, so no checkpoint is due.
    await eventually(async () => (await logBytes(folder)) <= boundOf(live));
  });

  test('the log becomes as small as its few live records when all others are removed', async () => {
    const { broker, folder, clock, reopen } = await openLog({ limits: ROOMY });
    const chats = chatNames(30);
    await answerChats(broker, chats);
    const notes = await readLines(broker, NOTES);
    await removeAll(broker, chats);
    const live = await liveBytes(broker, [NOTES]);
    await eventually(async () => {
      await clock.advance(CHECKPOINT_MS);
      return (await logBytes(folder)) <= boundOf(live);
    });
    expect(await readLines(broker, NOTES)).toEqual(notes);
    expect(await readLines(await reopen(), NOTES)).toEqual(notes);
  });

  test('segments are read no faster than the limit', async () => {
    const files = new FaultyFiles();
    const limits = { ...ROOMY, reclaimBytesPerSecond: ROOMY.segmentBytes, logPerLive: 1, spareSegments: 0 };
    const { broker, clock } = await openLog({ limits, files });
    await answerChats(broker, chatNames(20));
    const opened = (): number => files.count('open:read');
    await eventually(() => opened() > 0);
    await turnsOf(50);
    expect(opened()).toBe(1);
    await clock.advance(1100);
    await eventually(() => opened() > 1);
    await turnsOf(50);
    expect(opened()).toBe(2);
  });

  test('a segment with a damaged live record stays, with a warning, and everything else is read as before', async () => {
    const warnings: string[] = [];
    const files = new FaultyFiles();
    const { broker, folder, clock, reopen } = await openLog({ limits: { ...ROOMY, logPerLive: 100 } });
    const chats = chatNames(12);
    await answerChats(broker, chats);
    const bytes = await readFile(segmentPath(folder, 1));
    const at = bytes.indexOf('answer of chat/c1 ');
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    await writeFile(segmentPath(folder, 1), bytes);
    const limits = { ...ROOMY, logPerLive: 1, spareSegments: 0 };
    const again = await reopen({ limits, files, onWarning: (text) => warnings.push(text) });
    await eventually(() => warnings.some((text) => text.startsWith('segment 1 of the log cannot be emptied')));
    await eventually(async () => {
      await clock.advance(CHECKPOINT_MS);
      return files.count('unlink 0000000000000002') > 0;
    });
    expect(files.count('unlink 0000000000000001')).toBe(0);
    const [, damaged, ...whole] = chats;
    expect((await readLines(again, damaged ?? CHAT)).filter((line) => line.endsWith(' lost'))).toHaveLength(1);
    for (const chat of whole) expect((await readLines(again, chat)).length).toBe(3);
  });
});

async function turnsOf(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await turn();
}

// On a full disk, thinning frees the room of removed records in segments with few live records, and live records are
// read as before.
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { BrokerEngine } from '../../../src/broker/broker.ts';
import type { LiteTopicName } from '../../../src/broker/lite-topic.ts';
import { DEFAULT_LIMITS } from '../../../src/broker/log/limits.ts';
import { append, CHAT, major, minor, outcome, readLines, topicName, write } from '../contract/subject.ts';
import { eventually } from '../../support/wait-for.ts';
import { mountSmallDisk } from '../../process/small-disk.ts';
import { crashCopy, openLog, temporaryFolder } from './opened-log.ts';

const DISK_MEBIBYTES = 32;
const BIG = Array.from({ length: 10 }, (_, i) => topicName(`chat/big${i}`));
const LATER = Array.from({ length: 10 }, (_, i) => topicName(`chat/later${i}`));
const KEPT = Array.from({ length: 10 }, (_, i) => topicName(`chat/kept${i}`));
const { reserveBytes, reserveStepBytes } = DEFAULT_LIMITS;
/** No read may be served from memory. */
const LIMITS = { reserveBytes, reserveStepBytes, recentBytes: 0 };

/** Writes the records of all chats in turn: 10 MiB. */
async function fillChats(broker: BrokerEngine): Promise<void> {
  for (let round = 0; round < 16; round++) {
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

  await disk.fill();
  expect(await outcome(append(broker, CHAT, minor('x'.repeat(8192))))).toBe('disk-full');
  await removeAll(broker, LATER);
  await eventually(async () => (await outcome(append(broker, CHAT, minor('x'.repeat(8192))))) === 'accepted');
  expect(await allLines(broker, KEPT)).toEqual(kept);
  const again = await reopen();
  expect(await allLines(again, KEPT)).toEqual(kept);
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

test('a start removes a copy that a crash left behind', async () => {
  const folder = await temporaryFolder();
  const { reopen } = await openLog({ folder });
  const left = join(folder, 'log', '0000000000000001.seg.thin');
  await writeFile(left, 'half');
  await reopen();
  expect((await readdir(join(folder, 'log'))).filter((name) => name.endsWith('.thin'))).toEqual([]);
});

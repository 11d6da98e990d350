// No byte of a dead text is in the data folder when the time is over within which it must be erased, whatever else
// lives in its segment, and over a restart.
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { BrokerEngine } from '../../../src/broker/broker.ts';
import { BATCH_HEAD_BYTES } from '../../../src/broker/log/format/batch-codec.ts';
import { FRAME_HEAD_BYTES } from '../../../src/broker/log/format/frame-codec.ts';
import type { ManualClock } from '../../support/manual-clock.ts';
import { eventually } from '../../support/wait-for.ts';
import { append, CHAT, major, minor, readLines, topicName } from '../contract/subject.ts';
import { FaultyFiles } from './faulty-files.ts';
import { crashCopy, openLog, segmentPath } from './opened-log.ts';

const SECRET = 'Xylophon-Quarz';
const OTHER = topicName('chat/other');
const ERASE_WITHIN_MS = 10_000;
const LIMITS = { eraseWithinMs: ERASE_WITHIN_MS, recentBytes: 0, reclaimBytesPerSecond: Infinity };
const STEP_MS = 100;

/** The files of the folder that hold the text. */
async function filesWith(folder: string, text: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of await readdir(folder, { recursive: true })) {
    const path = join(folder, name);
    // A segment may be removed meanwhile, and the lock is a socket.
    const isFile = await stat(path).then(
      (one) => one.isFile(),
      () => false,
    );
    const bytes = isFile ? await readFile(path).catch(() => Buffer.alloc(0)) : Buffer.alloc(0);
    if (bytes.includes(text)) found.push(name);
  }
  return found;
}

/** Lets less than the allowed time pass, and expects that the text is gone then. */
async function expectErased(clock: ManualClock, folder: string, text: string): Promise<void> {
  let passed = 0;
  await eventually(async () => {
    // A timer that is due fires in an advance only, also when the time is used up.
    const step = passed + STEP_MS < ERASE_WITHIN_MS ? STEP_MS : 0;
    passed += step;
    await clock.advance(step);
    return (await filesWith(folder, text)).length === 0;
  });
}

async function writeChats(broker: BrokerEngine): Promise<void> {
  await append(broker, OTHER, major('kept before'));
  await append(broker, CHAT, [...major(`the ${SECRET} question`), ...minor(`a ${SECRET}`)]);
  await append(broker, OTHER, major('kept after'));
}

describe('the text of a dead record leaves the data folder in time', () => {
  test('when its chat is removed and the other chats in its segment live', async () => {
    const { broker, folder, clock, reopen } = await openLog({ limits: LIMITS });
    await writeChats(broker);
    expect(await filesWith(folder, SECRET)).toHaveLength(1);
    await broker.remove(CHAT);
    await expectErased(clock, folder, SECRET);
    expect(await readLines(broker, OTHER)).toEqual(['0M:kept before', '1M:kept after']);
    expect(await readLines(await reopen(), OTHER)).toEqual(['0M:kept before', '1M:kept after']);
  });

  test('when its chat expires', async () => {
    const { broker, folder, clock } = await openLog({ limits: LIMITS });
    await append(broker, CHAT, major(SECRET), { ttlMs: 60_000 });
    await append(broker, OTHER, major('kept'));
    await clock.advance(61_000);
    await eventually(async () => (await broker.describe([CHAT]))[0] === undefined);
    await expectErased(clock, folder, SECRET);
    expect(await readLines(broker, OTHER)).toEqual(['0M:kept']);
  });

  test('when it is superseded, and nothing of it is live', async () => {
    const { broker, folder, clock } = await openLog({ limits: LIMITS });
    await append(broker, CHAT, [...major('ask'), ...minor(`${SECRET} token`)]);
    await append(broker, CHAT, major('done'), { supersedes: [[1, 1]] });
    await expectErased(clock, folder, SECRET);
    expect(await readLines(broker, CHAT)).toEqual(['0M:ask', '1-1>2', '2M:done']);
  });

  test('when a start could not read it, and what is behind it in the file lives', async () => {
    const { broker, folder } = await openLog({ limits: LIMITS });
    await append(broker, OTHER, major('kept before'));
    const path = segmentPath(folder);
    const { size } = await stat(path);
    await append(broker, CHAT, major(SECRET));
    await append(broker, OTHER, major('kept after'));
    for (const at of [size, size + BATCH_HEAD_BYTES + FRAME_HEAD_BYTES]) {
      const copy = await crashCopy(folder);
      const bytes = await readFile(segmentPath(copy));
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      await writeFile(segmentPath(copy), bytes);
      const { broker: again, clock } = await openLog({ folder: copy, limits: LIMITS });
      expect(again.health()).toMatchObject({ state: 'degraded', damage: { topics: 0, lostParts: 1 } });
      expect(await filesWith(copy, SECRET)).toHaveLength(1);
      await expectErased(clock, copy, SECRET);
      expect(await readLines(again, OTHER)).toEqual(['0M:kept before', '1M:kept after']);
      await eventually(() => again.health().state === 'ready');
      await again.close();
    }
  });

  test('when it was the only chat, and nothing is written afterwards', async () => {
    const { broker, folder, clock } = await openLog({ limits: LIMITS });
    await append(broker, CHAT, major(SECRET));
    await broker.remove(CHAT);
    await expectErased(clock, folder, SECRET);
  });

  test('when the process was stopped after the removal', async () => {
    const { broker, folder, clock, reopen } = await openLog({ limits: LIMITS });
    await writeChats(broker);
    await broker.remove(CHAT);
    const again = await reopen();
    await expectErased(clock, folder, SECRET);
    expect(await readLines(again, OTHER)).toEqual(['0M:kept before', '1M:kept after']);
  });

  test('when the process was killed after the removal', async () => {
    const { broker, folder } = await openLog({ limits: LIMITS });
    await writeChats(broker);
    await broker.remove(CHAT);
    const { broker: again, ...copy } = await openLog({ folder: await crashCopy(folder), limits: LIMITS });
    await expectErased(copy.clock, copy.folder, SECRET);
    expect(await readLines(again, OTHER)).toEqual(['0M:kept before', '1M:kept after']);
  });

  test('again and again, and a log in which nothing is dead is left as it is', async () => {
    const files = new FaultyFiles();
    const { broker, folder, clock } = await openLog({ limits: LIMITS, files });
    for (let round = 0; round < 3; round++) {
      await writeChats(broker);
      await broker.remove(CHAT);
      await expectErased(clock, folder, SECRET);
    }
    await clock.advance(ERASE_WITHIN_MS);
    const opened = files.count('open:create');
    for (let i = 0; i < 10; i++) await clock.advance(ERASE_WITHIN_MS);
    expect(files.count('open:create')).toBe(opened);
    expect((await readLines(broker, OTHER)).length).toBe(6);
  });
});

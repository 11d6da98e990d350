// Folders that are damaged, of another version, copied, or open to other users: how each is refused or reported, and
// what still works.
import { chmod, cp, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { BrokerEngine } from '../../../src/broker/broker.ts';
import type { LiteTopicName } from '../../../src/broker/lite-topic.ts';
import { isBrokerError } from '../../../src/broker/errors.ts';
import { checkIndex } from '../../../src/broker/log/read/index-check.ts';
import { openLogBroker, type LogBrokerOptions } from '../../../src/broker/log/open.ts';
import { randomEpoch } from '../../../src/broker/open-broker.ts';
import { systemClock } from '../../../src/base/clock.ts';
import { timeLimit } from '../../support/slowness.ts';
import { append, CHAT, major, minor, readLines, topicName } from '../contract/subject.ts';
import { openLog, segmentPath, temporaryFolder } from './opened-log.ts';

function open(folder: string, options: Partial<LogBrokerOptions> = {}): Promise<BrokerEngine> {
  return openLogBroker({
    folder,
    fsync: { mode: 'always' },
    clock: systemClock,
    newEpoch: randomEpoch,
    onFatal: () => undefined,
    ...options,
  });
}

async function writtenFolder(): Promise<string> {
  const folder = await temporaryFolder();
  const broker = await open(folder);
  await append(broker, CHAT, minor('a', 'b'));
  await broker.close();
  return folder;
}

const index = (folder: string): string => join(folder, 'index', 'data.mdb');

/** Chats enough that the index has several pages of each kind. */
async function folderWithChats(count: number, life: { readonly ttlMs?: number } = {}): Promise<string> {
  const folder = await temporaryFolder();
  const broker = await open(folder, { limits: { commitIntervalMs: 0 } });
  await Promise.all(Array.from({ length: count }, (_, i) => append(broker, chatOf(i), minor(`chat ${i}`), life)));
  await broker.close();
  return folder;
}

function chatOf(i: number): LiteTopicName {
  return topicName(`chat/c${i}`);
}

function codeOf(error: unknown): string {
  return isBrokerError(error) ? error.code : String(error);
}

type Damage = (bytes: Buffer) => Buffer;
const PAGE = 4096;
const DAY_MS = 24 * 60 * 60 * 1000;

const UNUSABLE: Record<string, Damage> = {
  'cut in half': (bytes) => bytes.subarray(0, bytes.length / 2),
  'cut inside of its heads': (bytes) => bytes.subarray(0, 100),
  'without heads': (bytes) => bytes.fill(0, 0, 2 * PAGE),
  'overwritten with other bytes': (bytes) => bytes.fill(0x5a),
};

async function damageIndex(folder: string, damage: Damage): Promise<Buffer> {
  const whole = await readFile(index(folder));
  await writeFile(index(folder), damage(Buffer.from(whole)));
  return whole;
}

describe('a damaged index', () => {
  test.each(Object.keys(UNUSABLE))('%s › is made again from a whole log, beside the old one', async (what) => {
    const folder = await folderWithChats(3);
    const before = await open(folder);
    const { epoch } = await append(before, chatOf(1), minor('again'));
    await before.close();
    await damageIndex(folder, UNUSABLE[what] ?? ((bytes) => bytes));
    const warnings: string[] = [];
    const broker = await open(folder, { onWarning: (text) => warnings.push(text) });
    expect(warnings).toEqual([expect.stringMatching(/^the index was damaged and is made again .*index\.bad/)]);
    expect(await readLines(broker, chatOf(0))).toEqual(['0m:chat 0']);
    expect(await readLines(broker, chatOf(1))).toEqual(['0m:chat 1', '1m:again']);
    expect(await broker.read(chatOf(1), { epoch, offset: 2 })).toMatchObject({
      kind: 'reset',
      reason: 'epoch-changed',
    });
    expect(broker.health().state).toBe('ready');
    await broker.close();
    expect((await stat(join(folder, 'index.bad', 'data.mdb'))).size).toBeGreaterThan(0);
    await damageIndex(folder, UNUSABLE[what] ?? ((bytes) => bytes));
    await (await open(folder)).close();
    expect((await stat(join(folder, 'index.bad-2', 'data.mdb'))).size).toBeGreaterThan(0);
  });

  test('is refused with its name when the log has lost its first segment, and nothing is changed', async () => {
    const folder = await folderWithChats(3);
    await rename(segmentPath(folder), segmentPath(folder, 2));
    for (const damage of Object.values(UNUSABLE)) {
      const whole = await damageIndex(folder, damage);
      const log = await readFile(segmentPath(folder, 2));
      await expect(open(folder)).rejects.toThrow(
        /^corrupt: the index .*data\.mdb .*segments of the log were removed.*restore the whole data folder/,
      );
      expect(await readFile(segmentPath(folder, 2))).toEqual(log);
      await writeFile(index(folder), whole);
    }
  });

  test(
    'in one page costs only the topics of that page, until the next start makes the index again',
    async () => {
      const folder = await folderWithChats(600);
      const whole = await readFile(index(folder));
      let [partly, unusable] = [0, 0];
      for (let page = 2; page < whole.length / PAGE; page++) {
        await writeFile(index(folder), Buffer.from(whole).fill(0, page * PAGE, (page + 1) * PAGE));
        const warnings: string[] = [];
        const broker = await open(folder, { onWarning: (text) => warnings.push(text) });
        if (warnings.some((text) => text.startsWith('the index was damaged'))) unusable += 1;
        const lines = await Promise.all(
          Array.from({ length: 600 }, (_, i) => readLines(broker, chatOf(i)).catch((error: unknown) => codeOf(error))),
        );
        const refused = lines.filter((line) => line === 'corrupt').length;
        for (const [i, line] of lines.entries()) if (line !== 'corrupt') expect(line).toEqual([`0m:chat ${i}`]);
        expect(broker.health()).toMatchObject(
          refused > 0 ? { state: 'degraded', damage: { damagedIndex: 1 } } : { state: 'ready' },
        );
        if (refused > 0) {
          partly += 1;
          expect(refused).toBeLessThan(600);
          expect(warnings).toEqual([expect.stringMatching(/^corrupt: the index .*data\.mdb cannot be read: /)]);
        }
        await broker.close().catch(() => undefined);
        if (refused === 0) await rm(join(folder, 'index', 'damaged'), { force: true });
        else {
          const again = await open(folder);
          expect(await readLines(again, chatOf(599))).toEqual(['0m:chat 599']);
          expect(again.health().state).toBe('ready');
          await again.close();
        }
        await rm(join(folder, 'index'), { recursive: true });
        await mkdir(join(folder, 'index'));
      }
      expect(partly).toBeGreaterThan(2);
      expect(unusable).toBeGreaterThan(0);
    },
    timeLimit(60_000),
  );

  test(
    'is found by a check of its pages, also where no read comes to them, and the check outlives it',
    async () => {
      const folder = await folderWithChats(400, { ttlMs: DAY_MS });
      const whole = await readFile(index(folder));
      expect(await checkIndex(folder, { forgetDeadReaders: () => undefined })).toBeUndefined();
      const found: string[] = [];
      for (let page = 2; page < whole.length / PAGE; page += 3) {
        await writeFile(index(folder), Buffer.from(whole).fill(0, page * PAGE, (page + 1) * PAGE));
        const what = await checkIndex(folder, { forgetDeadReaders: () => undefined });
        if (what !== undefined) found.push(what);
      }
      expect(found.length).toBeGreaterThan(1);
    },
    timeLimit(60_000),
  );

  test('uses its free pages again after a check of its pages', async () => {
    const { broker, folder } = await openLog({ limits: { checkpointBytes: 1 } });
    const topics = Array.from({ length: 100 }, (_, i) => topicName(`chat/${'x'.repeat(100)}${i}`));
    const grow = async (rounds: number): Promise<number> => {
      for (let i = 0; i < rounds; i++) await Promise.all(topics.map((topic) => append(broker, topic, major('a'))));
      return (await stat(index(folder))).size;
    };
    const before = await grow(30);
    expect(await broker.checkIndex?.()).toBeUndefined();
    expect(await grow(60)).toBeLessThan(5 * before);
  });

  test('is readable only for its owner', async () => {
    const folder = await writtenFolder();
    const modes = await Promise.all(
      ['data.mdb', 'lock.mdb'].map(async (name) => (await stat(join(folder, 'index', name))).mode & 0o777),
    );
    expect(modes).toEqual([0o600, 0o600]);
  });
});

test('a log of another version is refused as such, whether or not its head can be checked', async () => {
  for (const isChecked of [true, false]) {
    const folder = await writtenFolder();
    const bytes = await readFile(segmentPath(folder));
    bytes.writeUInt32LE(7, 8);
    if (isChecked) bytes.writeUInt32LE(crc32(bytes.subarray(0, 32)), 32);
    await writeFile(segmentPath(folder), bytes);
    await expect(open(folder)).rejects.toThrow(
      /^invalid-config: the log was written by another version of holdline: it has format 7, and this build reads formats 1 to 2\./,
    );
  }
});

test('a path that is no folder is refused in one line', async () => {
  const folder = await temporaryFolder();
  await writeFile(join(folder, 'log'), '');
  await expect(open(folder)).rejects.toThrow(/^(invalid-config: the data folder .* cannot be used|EEXIST)/);
});

test('a folder that other users may write to is opened with a warning', async () => {
  const folder = await writtenFolder();
  await chmod(folder, 0o777);
  const warnings: string[] = [];
  await (await open(folder, { onWarning: (text) => warnings.push(text) })).close();
  expect(warnings).toEqual([expect.stringMatching(/has mode 777: .* chmod 700/)]);
});

describe('a restored copy of a folder', () => {
  async function copyOf(folder: string): Promise<string> {
    const copy = await temporaryFolder();
    await cp(folder, copy, { recursive: true });
    return copy;
  }

  async function putBack(folder: string, copy: string): Promise<void> {
    await rm(folder, { recursive: true });
    await mkdir(folder);
    await cp(copy, folder, { recursive: true });
  }

  test('is another history for each reader with a position, each time', async () => {
    const folder = await writtenFolder();
    const copy = await copyOf(folder);
    const seen: string[] = [];
    for (const text of ['today', 'restored', 'restored again']) {
      const broker = await open(folder);
      const { epoch, next } = await append(broker, CHAT, minor(text));
      for (const before of seen)
        expect(await broker.read(CHAT, { epoch: before, offset: next })).toMatchObject({
          kind: 'reset',
          reason: 'epoch-changed',
        });
      expect(await readLines(broker, CHAT)).toEqual(['0m:a', '1m:b', `2m:${text}`]);
      seen.push(epoch);
      await broker.close();
      await putBack(folder, copy);
    }
    expect(new Set(seen).size).toBe(3);
  });

  test('keeps every position when the folder is opened again in its own place', async () => {
    const folder = await writtenFolder();
    const broker = await open(folder);
    const { epoch } = await append(broker, CHAT, minor('c'));
    await broker.close();
    const again = await open(folder);
    expect(await again.read(CHAT, { epoch, offset: 2 })).toMatchObject({ kind: 'batch' });
    await again.close();
  });

  test('can be marked by an operator, for a snapshot of the whole disk', async () => {
    const folder = await writtenFolder();
    const before = await open(folder);
    const { epoch } = await append(before, CHAT, minor('c'));
    await before.close();
    await writeFile(join(folder, 'restored'), '');
    const broker = await open(folder);
    expect(await broker.read(CHAT, { epoch, offset: 2 })).toMatchObject({ kind: 'reset', reason: 'epoch-changed' });
    await expect(stat(join(folder, 'restored'))).rejects.toThrow('ENOENT');
    await broker.close();
  });
});

// Folders that are damaged, of another version, copied, or open to other users: how each is refused or reported, and
// what still works.
import { chmod, cp, mkdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { BrokerEngine } from '../../../src/broker/broker.ts';
import { openLogBroker, type LogBrokerOptions } from '../../../src/broker/log/open.ts';
import { randomEpoch } from '../../../src/broker/open-broker.ts';
import { systemClock } from '../../../src/base/clock.ts';
import { append, CHAT, minor, readLines } from '../contract/subject.ts';
import { segmentPath, temporaryFolder } from './opened-log.ts';

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

describe('an index', () => {
  test('is refused with its name when it is cut in half, and the log stays as it was', async () => {
    const folder = await writtenFolder();
    const whole = await readFile(index(folder));
    await truncate(index(folder), whole.length / 2);
    const log = await readFile(segmentPath(folder));
    await expect(open(folder)).rejects.toThrow(
      /^corrupt: the index .*data\.mdb is damaged: it ends at byte \d+ and must have \d+/,
    );
    expect(await readFile(segmentPath(folder))).toEqual(log);
    await writeFile(index(folder), whole);
    const broker = await open(folder);
    expect(await readLines(broker, CHAT)).toEqual(['0m:a', '1m:b']);
    await broker.close();
  });

  test('is refused with its name when it has no heads', async () => {
    const folder = await writtenFolder();
    const bytes = await readFile(index(folder));
    bytes.fill(0, 0, 8192);
    await writeFile(index(folder), bytes);
    await expect(open(folder)).rejects.toThrow(/^corrupt: the index .*both of its heads are damaged/);
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

// A folder whose log, or whose first segment, is missing together with the index: a start refuses it and changes
// nothing, unless the folder is new.
import { cp, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { nodeLogFiles, type LogFiles } from '../../../src/broker/log/disk/log-files.ts';
import { append, major, readLines, topicName } from '../contract/subject.ts';
import { crashCopy, openLog, segmentPath, temporaryFolder } from './opened-log.ts';

const CHAT = topicName('chat/a');

/** The files of a folder with their bytes, without those of the lock. */
async function filesOf(folder: string): Promise<Readonly<Record<string, string>>> {
  const found: Record<string, string> = {};
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile() && entry.name !== 'lock.mdb') found[path] = (await readFile(path)).toString('base64');
  }
  return found;
}

/** A folder with two segments. */
async function written(): Promise<string> {
  const { broker, folder } = await openLog({ limits: { segmentBytes: 300 } });
  for (let i = 0; i < 3; i++) await append(broker, CHAT, major(`${i}`.repeat(200)));
  await broker.close();
  return folder;
}

const removeIndex = (folder: string): Promise<void> => rm(join(folder, 'index'), { recursive: true });
const removeCopy = (folder: string): Promise<void> => rm(join(folder, 'index.copy'));
const removeLog = (folder: string): Promise<void> => rename(join(folder, 'log'), join(folder, 'unmounted'));

async function zeroIndex(folder: string): Promise<void> {
  const path = join(folder, 'index', 'data.mdb');
  await writeFile(path, (await readFile(path)).fill(0));
}

async function all(folder: string, ...acts: readonly ((folder: string) => Promise<void>)[]): Promise<void> {
  for (const act of acts) await act(folder);
}

const WITHOUT_LOG: Readonly<Record<string, (folder: string) => Promise<void>>> = {
  'a missing index and its copy': (folder) => removeIndex(folder),
  'an empty folder of the index and its copy': (folder) =>
    all(folder, removeIndex, (one) => mkdir(join(one, 'index')).then(() => undefined)),
  'an empty file of the index and its copy': (folder) => writeFile(join(folder, 'index', 'data.mdb'), ''),
  'a missing index and a damaged copy': (folder) =>
    all(folder, removeIndex, (one) => writeFile(join(one, 'index.copy'), 'damaged')),
  'a damaged index and no copy': (folder) => all(folder, zeroIndex, removeCopy),
  'a damaged index and its copy': (folder) => zeroIndex(folder),
  'a whole index': () => Promise.resolve(),
};

describe('a folder without any file of the log', () => {
  it.each(Object.keys(WITHOUT_LOG))('is refused, and not changed, when it has %s', async (what) => {
    const folder = await written();
    await removeLog(folder);
    await WITHOUT_LOG[what]?.(folder);
    const before = await filesOf(folder);
    const warnings: string[] = [];
    for (let i = 0; i < 2; i++)
      await expect(openLog({ folder, place: 'elsewhere', onWarning: (text) => warnings.push(text) })).rejects.toThrow(
        /^corrupt: .*(every file of the log is missing|no file of it is there).*Nothing was changed/,
      );
    expect(await filesOf(folder)).toEqual(before);
    expect((await readdir(folder)).filter((name) => /^index\.(new|bad|run)/.test(name))).toEqual([]);
    expect(warnings).toEqual([]);
  });

  it('serves every chat again when the log is back', async () => {
    const folder = await written();
    await removeLog(folder);
    await removeIndex(folder);
    await expect(openLog({ folder })).rejects.toThrow('every file of the log is missing in');
    await rm(join(folder, 'log'), { recursive: true });
    await rename(join(folder, 'unmounted'), join(folder, 'log'));
    const { broker } = await openLog({ folder });
    expect(await readLines(broker, CHAT)).toHaveLength(3);
  });
});

describe('a folder in which nothing was ever stored', () => {
  it('opens without a warning when its index is missing', async () => {
    const { broker, folder, reopen } = await openLog();
    await broker.close();
    await removeIndex(folder);
    const warnings: string[] = [];
    await reopen({ onWarning: (text) => warnings.push(text) });
    expect(warnings).toEqual([]);
  });

  it('opens without a warning after its first start was killed at any step', async () => {
    const copies: string[] = [];
    const folder = await temporaryFolder();
    const keep = async <T>(result: Promise<T>): Promise<T> => {
      const value = await result;
      copies.push(await crashCopy(folder));
      return value;
    };
    const files: LogFiles = {
      ...nodeLogFiles,
      makeFolder: (path) => keep(nodeLogFiles.makeFolder(path)),
      open: (path, mode) => keep(nodeLogFiles.open(path, mode)),
      syncFolder: (path) => keep(nodeLogFiles.syncFolder(path)),
    };
    const { broker } = await openLog({ folder, files });
    copies.push(await crashCopy(folder));
    const [whole = ''] = copies.slice(-1);
    // The copy of the index has the first checkpoint, and the index does not.
    for (const lost of ['index', join('index', 'data.mdb')]) {
      const copy = await temporaryFolder();
      await cp(whole, copy, { recursive: true });
      await rm(join(copy, lost), { recursive: true });
      copies.push(copy);
    }
    expect(copies.length).toBeGreaterThan(5);
    await broker.close();
    for (const copy of copies) {
      const warnings: string[] = [];
      const { broker: again } = await openLog({ folder: copy, onWarning: (text) => warnings.push(text) });
      await append(again, CHAT, major('here'));
      expect(warnings).toEqual([]);
      await again.close();
    }
  });
});

describe('a missing index without a copy', () => {
  it('is made again from a whole log, with a warning', async () => {
    const folder = await written();
    await all(folder, removeIndex, removeCopy);
    const warnings: string[] = [];
    const { broker } = await openLog({ folder, onWarning: (text) => warnings.push(text) });
    expect(warnings).toEqual([expect.stringMatching(/^the index was missing and is made again from the log: every/)]);
    expect(await readLines(broker, CHAT)).toHaveLength(3);
  });

  it('is refused, and nothing is changed, when the first segment is missing', async () => {
    const folder = await written();
    await all(folder, removeIndex, removeCopy);
    await rename(segmentPath(folder), join(folder, 'kept'));
    const before = await filesOf(folder);
    for (let i = 0; i < 2; i++)
      await expect(openLog({ folder })).rejects.toThrow(
        /^corrupt: the index .* is missing\. It cannot be made again from the log, .*\. Nothing was changed; restore/,
      );
    expect(await filesOf(folder)).toEqual(before);
    expect(await readdir(folder)).not.toContain('index');
    await rename(join(folder, 'kept'), segmentPath(folder));
    const { broker } = await openLog({ folder });
    expect(await readLines(broker, CHAT)).toHaveLength(3);
  });
});

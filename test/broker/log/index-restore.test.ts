// A damaged index after the reclaim has removed the first segments of the log: a start makes it again from its copy,
// and serves every chat as it was.
import { existsSync } from 'node:fs';
import { cp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { BrokerEngine } from '../../../src/broker/broker.ts';
import { nodeLogFiles, type LogFiles } from '../../../src/broker/log/disk/log-files.ts';
import { DEFAULT_LIMITS } from '../../../src/broker/log/limits.ts';
import { IndexChanges } from '../../../src/broker/log/topics/index-changes.ts';
import { TopicIndex } from '../../../src/broker/log/topics/topic-index.ts';
import { append, major, minor, readLines, topicName } from '../contract/subject.ts';
import type { ManualClock } from '../../support/manual-clock.ts';
import { eventually } from '../../support/wait-for.ts';
import { openLog, temporaryFolder, type OpenedLog } from './opened-log.ts';

const CHATS = Array.from({ length: 40 }, (_, i) => topicName(`chat/c${i}`));
const GONE = topicName('chat/gone');
/** Every commit is followed by a checkpoint, and every segment with a dead record is emptied. */
const LIMITS = { segmentBytes: 2000, checkpointBytes: 1, logPerLive: 1, spareSegments: 0, recentBytes: 0 };
const PAGE = 4096;

type Lines = ReadonlyMap<string, readonly string[]>;

interface Reclaimed extends OpenedLog {
  readonly lines: Lines;
  /** A position of a reader. */
  readonly read: { readonly epoch: string; readonly offset: number };
}

async function linesOf(broker: BrokerEngine): Promise<Lines> {
  const lines = new Map<string, readonly string[]>();
  for (const chat of CHATS) lines.set(chat, await readLines(broker, chat));
  return lines;
}

async function segmentNames(folder: string): Promise<readonly string[]> {
  return (await readdir(join(folder, 'log'))).filter((name) => name.endsWith('.seg')).sort();
}

/** Time passes meanwhile, so that a checkpoint follows also when no append does. */
function overTime(clock: ManualClock, isTrue: () => Promise<boolean>): Promise<void> {
  return eventually(async () => {
    await clock.advance(DEFAULT_LIMITS.checkpointIntervalMs);
    return isTrue();
  });
}

/** Chats whose answers were superseded, until the first segments are gone. */
async function reclaimed(folder?: string): Promise<Reclaimed> {
  const log = await openLog({ limits: LIMITS, ...(folder === undefined ? {} : { folder }) });
  const { broker } = log;
  let read = { epoch: '', offset: 0 };
  await append(broker, GONE, major('removed'));
  for (const [i, chat] of CHATS.entries()) {
    await append(broker, chat, minor('a'.repeat(100), 'b'.repeat(100)));
    const { epoch, next } = await append(broker, chat, major(`answer ${i}`), { supersedes: [[0, 1]] });
    read = { epoch, offset: next };
  }
  await broker.remove(GONE);
  await overTime(log.clock, async () => (await segmentNames(log.folder))[0] !== '0000000000000001.seg');
  return { ...log, lines: await linesOf(broker), read };
}

const data = (folder: string): string => join(folder, 'index', 'data.mdb');

async function change(path: string, how: (bytes: Buffer) => Buffer): Promise<void> {
  await writeFile(path, how(await readFile(path)));
}

const DAMAGES: Readonly<Record<string, (folder: string) => Promise<void>>> = {
  'zeros over its heads': (folder) => change(data(folder), (bytes) => bytes.fill(0, 0, 2 * PAGE)),
  'a cut in its middle': (folder) => change(data(folder), (bytes) => bytes.subarray(0, bytes.length / 2)),
  'a cut in its heads': (folder) => change(data(folder), (bytes) => bytes.subarray(0, 100)),
  'other bytes in every page': (folder) => change(data(folder), (bytes) => bytes.fill(0x5a)),
  'a missing file': (folder) => rm(data(folder)),
  'an empty file': (folder) => change(data(folder), () => Buffer.alloc(0)),
  'a missing folder': (folder) => rm(join(folder, 'index'), { recursive: true }),
};

describe('a damaged index of a log without its first segments', () => {
  it.each(Object.keys(DAMAGES))('is made again from its copy: %s', async (what) => {
    const { broker, folder, lines, read, reopen, fatal } = await reclaimed();
    await broker.close();
    await DAMAGES[what]?.(folder);
    const warnings: string[] = [];
    const again = await reopen({ onWarning: (text) => warnings.push(text) });
    expect(warnings).toEqual([
      expect.stringMatching(/^the index was (damaged|missing) and is made again from its copy/),
    ]);
    expect(await linesOf(again)).toEqual(lines);
    expect(await again.describe([GONE])).toEqual([undefined]);
    expect(await again.read(CHATS.at(-1) ?? GONE, read)).toMatchObject({ kind: 'reset', reason: 'epoch-changed' });
    expect(again.health().state).toBe('ready');
    expect(await again.checkIndex?.()).toBeUndefined();
    // It has a copy at once, so the same damage costs nothing once more.
    await append(again, CHATS[0] ?? GONE, major('later'));
    const later = await linesOf(again);
    await again.close();
    await DAMAGES[what]?.(folder);
    expect(await linesOf(await reopen())).toEqual(later);
    expect(fatal).toEqual([]);
  });

  it('is made again by the next start if one is cut short at any of its steps', async () => {
    const { broker, folder, lines } = await reclaimed();
    await broker.close();
    await DAMAGES['zeros over its heads']?.(folder);
    for (let steps = 0; ; steps += 1) {
      const copy = await temporaryFolder();
      await cp(folder, copy, { recursive: true });
      let left = steps;
      const step = async (act: () => Promise<void>): Promise<void> => {
        if (left === 0) throw new Error('the process ends');
        left -= 1;
        await act();
      };
      const files: LogFiles = {
        ...nodeLogFiles,
        makeFolder: (path) =>
          path.endsWith('.new') ? step(() => nodeLogFiles.makeFolder(path)) : nodeLogFiles.makeFolder(path),
        rename: (from, to) => step(() => nodeLogFiles.rename(from, to)),
        syncFolder: (path) =>
          path === copy && left < steps ? step(() => nodeLogFiles.syncFolder(path)) : nodeLogFiles.syncFolder(path),
      };
      const isCut = await openLog({ folder: copy, limits: LIMITS, files }).then(
        ({ broker: opened }) => opened.close().then(() => false),
        () => true,
      );
      const { broker: again } = await openLog({ folder: copy, limits: LIMITS });
      expect(await linesOf(again)).toEqual(lines);
      await again.close();
      expect((await readdir(copy)).filter((name) => name.startsWith('index.new'))).toEqual([]);
      if (!isCut) break;
      expect(steps).toBeLessThan(10);
    }
  });

  it('is refused when the copy is damaged as well, or lacks segments that follow it, and nothing is changed', async () => {
    const { broker, folder } = await reclaimed();
    await broker.close();
    await DAMAGES['zeros over its heads']?.(folder);
    const copy = await readFile(join(folder, 'index.copy'));
    const last = (await segmentNames(folder)).at(-1) ?? '';
    const spoil: readonly (() => Promise<void>)[] = [
      () => writeFile(join(folder, 'index.copy'), Buffer.from(copy).fill(0, 0, 100)),
      () => writeFile(join(folder, 'index.copy'), copy.subarray(0, 40)),
      () => rename(join(folder, 'log', last), join(folder, 'kept')),
    ];
    for (const act of spoil) {
      await writeFile(join(folder, 'index.copy'), copy);
      await act();
      const before = await readdir(folder);
      await expect(openLog({ folder, limits: LIMITS })).rejects.toThrow(/index\.copy\. Nothing was changed; restore/);
      expect(await readdir(folder)).toEqual(before);
    }
  });

  it('is refused when no file of the log is left', async () => {
    const { broker, folder } = await reclaimed();
    await broker.close();
    await DAMAGES['zeros over its heads']?.(folder);
    for (const name of await segmentNames(folder)) await rm(join(folder, 'log', name));
    await expect(openLog({ folder, limits: LIMITS })).rejects.toThrow(/^corrupt: .* Nothing was changed/);
  });
});

describe('a folder without a copy of its index', () => {
  it('gets one while it is open', async () => {
    const { broker, folder, reopen, lines } = await reclaimed();
    await broker.close();
    await rm(join(folder, 'index.copy'));
    const again = await reopen();
    await eventually(async () => (await readdir(folder)).includes('index.copy'));
    await again.close();
    await DAMAGES['a missing file']?.(folder);
    expect(await linesOf(await reopen())).toEqual(lines);
  });
});

describe('the copy of an index', () => {
  it('takes nothing from a process that was replaced', async () => {
    const folder = join(await temporaryFolder(), 'index');
    await nodeLogFiles.makeFolder(folder);
    const [old, owner] = [new TopicIndex(folder, () => undefined), new TopicIndex(folder, () => undefined)];
    onTestFinished(async () => {
      await old.close();
      await owner.close();
    });
    const changes = (text: string): IndexChanges => {
      const some = new IndexChanges(1024);
      some.put('state', Buffer.from('key'), (into) => into.bytes(Buffer.from(text)));
      return some;
    };
    await old.claim('old');
    await old.onCopy('attach');
    await owner.claim('new');
    await owner.onCopy('attach');
    await owner.apply(changes('of the owner'));
    const copy = await readFile(`${folder}.copy`);
    await expect(old.apply(changes('of the other'))).rejects.toThrow('another process has taken over');
    for (const act of ['slice', 'drop', 'attach'] as const)
      await expect(old.onCopy(act)).rejects.toThrow('another process has taken over');
    expect(await readFile(`${folder}.copy`)).toEqual(copy);
    expect((await stat(`${folder}.copy`)).mode & 0o777).toBe(0o600);
  });
});

describe('an index that may have ended processes', () => {
  /** Zeros over a page that a start does not read. */
  async function damaged(): Promise<Reclaimed> {
    const log = await reclaimed();
    await log.broker.close();
    const { size } = await stat(data(log.folder));
    await change(data(log.folder), (bytes) => {
      for (let page = 2; page < size / PAGE; page += 1) {
        const at = page * PAGE;
        if (bytes.includes('chat/c', at) && bytes.indexOf('chat/c', at) < at + PAGE) bytes.fill(0, at + 16, at + PAGE);
      }
      return bytes;
    });
    return log;
  }

  it('is checked by a start after two process runs that did not end in order, and made again', async () => {
    const { folder, lines, reopen } = await damaged();
    await writeFile(join(folder, 'index.run'), 'another 1');
    const warnings: string[] = [];
    const broker = await reopen({ onWarning: (text) => warnings.push(text) });
    expect(warnings[0]).toMatch(
      /^the last process runs did not end in order, so the index was checked\. It is damaged:/,
    );
    expect(await linesOf(broker)).toEqual(lines);
    expect(await readFile(join(folder, 'index.run'), 'latin1')).toMatch(/ 0$/);
    await broker.close();
    expect(await readdir(folder)).not.toContain('index.run');
  });

  it('is not opened when it is marked as damaged, before something is made in its place', async () => {
    // A page of it may end the process. A second folder has no copy, and a log that is whole.
    for (const [log, madeFrom] of [
      [await reclaimed(), 'its copy'],
      [await openLog(), 'the log'],
    ] as const) {
      const { broker, folder, reopen } = log;
      await append(broker, topicName('chat/marked'), major('here'));
      await broker.close();
      await writeFile(join(folder, 'index', 'damaged'), '');
      if (madeFrom === 'the log') await rm(join(folder, 'index.copy'));
      const openedWith: boolean[] = [];
      const probe = vi.spyOn(TopicIndex.prototype, 'probe').mockImplementation(() => {
        openedWith.push(existsSync(join(folder, 'index.new', 'data.mdb')));
      });
      const warnings: string[] = [];
      const again = await reopen({ onWarning: (text) => warnings.push(text) });
      probe.mockRestore();
      expect(openedWith).not.toContain(false);
      expect(warnings).toEqual([expect.stringContaining(`is made again from ${madeFrom}`)]);
      expect(await readLines(again, topicName('chat/marked'))).toEqual(['0M:here']);
    }
  });

  it('is not checked after one such run, and counts it', async () => {
    const { broker, folder, reopen } = await reclaimed();
    await broker.close();
    await writeFile(join(folder, 'index.run'), 'another 0');
    await reopen();
    expect(await readFile(join(folder, 'index.run'), 'latin1')).toMatch(/ 1$/);
  });
});

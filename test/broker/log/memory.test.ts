// What the engine keeps in memory and on the device is bounded and released again; and records that have left memory
// are read the same as others.
import { systemClock } from '../../../src/base/clock.ts';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { DEFAULT_LIMITS } from '../../../src/broker/log/limits.ts';
import { RecentLog, BLOCKS } from '../../../src/broker/log/read/recent-log.ts';
import type { FrameLocation } from '../../../src/broker/log/format/frame-codec.ts';
import { Segments } from '../../../src/broker/log/disk/segments.ts';
import { nodeLogFiles } from '../../../src/broker/log/disk/log-files.ts';
import { TopicIndex } from '../../../src/broker/log/topics/topic-index.ts';
import { TopicTable } from '../../../src/broker/log/topics/topic-table.ts';
import { parseTopicPattern } from '../../../src/broker/lite-topic.ts';
import {
  append,
  CHAT,
  CollectedTail,
  infoOf,
  isMissing,
  major,
  minor,
  readItems,
  readLines,
  topicName,
} from '../contract/subject.ts';
import { FaultyFiles } from './faulty-files.ts';
import { openLog } from './opened-log.ts';

describe('memory', () => {
  test('holds no more idle topics than its limit, and loads every topic on request', async () => {
    const { folder, broker } = await openLog();
    for (let i = 0; i < 300; i++) await append(broker, topicName(`chat/t${i}`), minor(`${i}`));
    await broker.close();
    const index = new TopicIndex(join(folder, 'index'), () => undefined);
    const table = new TopicTable(index, new Segments(nodeLogFiles, folder, 1), systemClock, {
      ...DEFAULT_LIMITS,
      idleTopicsMax: 20,
    });
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 300; i++) expect(table.get(topicName(`chat/t${i}`)).visible?.state.next).toBe(1);
      expect(table.size).toBeLessThanOrEqual(21);
    }
    const used = table.get(topicName('chat/t7'));
    used.pins = 1;
    for (let i = 0; i < 300; i++) table.get(topicName(`chat/t${i}`));
    expect(table.loaded(topicName('chat/t7'))).toBe(used);
    await index.close();
  });

  test('holds the end of the log as it was written, wherever its segments end, and nothing else', () => {
    const batch = fc.record({ bytes: fc.uint8Array({ minLength: 1, maxLength: 60 }), rolls: fc.boolean() });
    fc.assert(
      fc.property(fc.array(batch, { minLength: 2 * BLOCKS, maxLength: 4 * BLOCKS }), (batches) => {
        const recent = new RecentLog(BLOCKS * 40);
        let [segment, position] = [0, 40];
        const told = batches.map(({ bytes, rolls }) => {
          if (rolls) [segment, position] = [segment + 1, 40];
          const one = { segment, position, length: bytes.length, bytes };
          recent.add(segment, position, Buffer.from(bytes));
          position += bytes.length;
          return one;
        });
        const found = told.map((one) => textAt(recent, one));
        for (const [i, { bytes }] of told.entries())
          expect([undefined, Buffer.from(bytes).toString('hex')]).toContain(found[i]);
        // In the worst case each batch takes its own block, and the largest takes none.
        for (const [i, { length }] of told.slice(-BLOCKS).entries())
          if (length <= 40) expect(found.slice(-BLOCKS)[i]).toBeDefined();
        expect(textAt(recent, { segment, position, length: 1 })).toBeUndefined();
      }),
    );
  });
});

function textAt(recent: RecentLog, at: FrameLocation): string | undefined {
  const block = recent.find(at);
  return block?.buffer.toString('hex', at.position - block.start, at.position - block.start + at.length);
}

describe('records that are no longer in memory', () => {
  const limits = {
    recentBytes: 64 * 256,
    idleTopicsMax: 4,
    dirtyTopicsMax: 8,
    segmentBytes: 8192,
    openSegmentsMax: 2,
    coldReadsMax: 2,
  };

  test('are read the same: forward, backward, majors only, and after a restart', async () => {
    const { broker, reopen } = await openLog({ limits });
    const told: string[] = [];
    for (let i = 0; i < 1500; i++) {
      const isMajor = i % 50 === 49;
      const written = append(
        broker,
        CHAT,
        isMajor ? major(`M${i}`) : minor(`m${i}`),
        isMajor ? { supersedes: [[i - 20, i - 1]] } : {},
      );
      if (i % 5 === 4) await written;
      if (i % 100 === 0) await append(broker, topicName(`list/t${i}`), minor('beside'));
    }
    for (let i = 0; i < 1500; i += 50) {
      for (let j = i; j < i + 29; j++) told.push(`${j}m:m${j}`);
      told.push(`${i + 29}-${i + 48}>${i + 49}`, `${i + 49}M:M${i + 49}`);
    }
    const majors = told.filter((line) => line.includes('M'));
    for (const next of [() => broker, () => reopen({ limits })]) {
      const engine = await next();
      expect(await readLines(engine, CHAT)).toEqual(told);
      expect(await readLines(engine, CHAT, 'end', { direction: 'backward', maxRecords: 70 })).toEqual(
        told.toReversed(),
      );
      expect(await readLines(engine, CHAT, 'earliest', { majorOnly: true, maxBytes: 10 })).toEqual(majors);
    }
  });

  test('reach a tail that starts far behind, joined to live records', async () => {
    const { broker } = await openLog({ limits });
    const { epoch } = await append(broker, CHAT, minor('0'));
    await Promise.all(Array.from({ length: 599 }, (_, i) => append(broker, CHAT, minor(`${i + 1}`))));
    const tails = Array.from({ length: 5 }, () => new CollectedTail(broker, CHAT, { epoch, offset: 0 }));
    for (let i = 600; i < 700; i++) await append(broker, CHAT, minor(`${i}`));
    const told = Array.from({ length: 700 }, (_, i) => `${i}m:${i}`);
    for (const tail of tails) expect(await tail.reached(700)).toEqual(told);
  });

  test('are listed and described without being loaded, in the order of names', async () => {
    const { broker, reopen } = await openLog({ limits });
    const names = Array.from({ length: 60 }, (_, i) => topicName(`chat/t${String(i).padStart(2, '0')}`));
    for (const name of names.toReversed()) await append(broker, name, minor(name));
    await broker.remove(topicName('chat/t07'));
    for (const next of [() => broker, () => reopen({ limits })]) {
      const engine = await next();
      const listed: string[] = [];
      for (let after: (typeof names)[number] | undefined; ;) {
        const page = await engine.list(parseTopicPattern('chat/*'), {
          limit: 7,
          ...(after === undefined ? {} : { after }),
        });
        listed.push(...page.topics.map(({ topic }) => topic));
        after = page.after;
        if (after === undefined) break;
      }
      expect(listed).toEqual(names.filter((name) => name !== 'chat/t07'));
      await append(engine, topicName('chat/t07'), minor('again'));
      await engine.remove(topicName('chat/t07'));
    }
  });
});

describe('the device', () => {
  test('gets back exactly the segments without live records', async () => {
    const files = new FaultyFiles();
    // No segment is emptied: a record that lives keeps its segment.
    const limits = { segmentBytes: 4096, checkpointBytes: 2000, logPerLive: 1000 };
    const { broker, folder, reopen } = await openLog({ files, limits });
    await append(broker, topicName('chat/kept'), minor('kept'));
    for (let i = 0; i < 40; i++) await append(broker, CHAT, minor('d'.repeat(1000)));
    await append(broker, CHAT, major('all of it'), { supersedes: [[0, 39]] });
    for (let i = 0; i < 10; i++) await append(broker, topicName('list/one'), minor('x'.repeat(500)));
    const again = await reopen({ limits, files });
    await again.close();
    const left = (await readdir(join(folder, 'log'))).filter((name) => name.endsWith('.seg'));
    expect(left).toContain('0000000000000001.seg');
    expect(left.length).toBeLessThan(6);
    expect(files.trace.filter((line) => line.startsWith('unlink')).length).toBeGreaterThan(6);
    const at = files.trace.findLastIndex((line) => line.startsWith('unlink'));
    expect(files.trace.slice(at)).toContain('syncFolder log');
    const third = await reopen({ limits });
    expect(await readLines(third, topicName('chat/kept'))).toEqual(['0m:kept']);
    expect(await readLines(third, CHAT)).toEqual(['0-39>40', '40M:all of it']);
    expect((await readItems(third, topicName('list/one'))).length).toBe(10);
  });
});

describe('a checkpoint', () => {
  test('is followed by another for the topics that changed meanwhile, without a further append', async () => {
    const { broker } = await openLog({ limits: { dirtyTopicsMax: 2 } });
    const checkpoints = holdCheckpoints();
    await append(broker, topicName('chat/a'), minor('x'));
    await append(broker, topicName('chat/b'), minor('x'));
    await expect.poll(() => checkpoints.topics).toEqual(['chat/a', 'chat/b']);
    await append(broker, topicName('chat/c'), minor('x'));
    await append(broker, topicName('chat/d'), minor('x'));
    checkpoints.release();
    await expect.poll(() => checkpoints.topics).toEqual(['chat/a', 'chat/b', 'chat/c', 'chat/d']);
  });

  test('that cannot keep up makes appends wait, and refuses and loses none', async () => {
    const { broker } = await openLog({ limits: { dirtyTopicsMax: 2 } });
    const other = await openLog();
    const checkpoints = holdCheckpoints();
    const acknowledged: string[] = [];
    const create = async (name: string): Promise<void> => {
      await append(broker, topicName(name), minor('x'));
      acknowledged.push(name);
    };
    for (const name of ['chat/a', 'chat/b']) await create(name);
    await expect.poll(() => checkpoints.topics).toEqual(['chat/a', 'chat/b']);
    for (const name of ['chat/c', 'chat/d', 'chat/e', 'chat/f']) await create(name);
    const waiting = ['chat/g', 'chat/h'].map(create);
    // Meanwhile another engine acknowledges five appends, one after the other.
    for (const name of ['chat/a', 'chat/b', 'chat/c', 'chat/d', 'chat/e'])
      await append(other.broker, topicName(name), minor('x'));
    expect(acknowledged).toHaveLength(6);
    checkpoints.release();
    await Promise.all(waiting);
    expect(acknowledged).toHaveLength(8);
  });
});

/** Checkpoints write nothing before `release`. `topics`: what they have written, or are about to write. */
function holdCheckpoints(): { readonly topics: readonly string[]; readonly release: () => void } {
  const topics: string[] = [];
  let release = (): void => undefined;
  const released = new Promise<void>((resolve) => (release = resolve));
  const spy = vi.spyOn(TopicIndex.prototype, 'apply').mockImplementation(async (changes) => {
    const text = Buffer.concat(changes.views()).toString('latin1');
    for (const [name] of text.matchAll(/chat\/\w/g)) if (!topics.includes(name)) topics.push(name);
    await released;
  });
  onTestFinished(() => {
    release();
    spy.mockRestore();
  });
  return { topics, release: () => release() };
}

describe('expiry', () => {
  test('finds topics that are not in memory, in slices, and drops their tombstones in time', async () => {
    const limits = { idleTopicsMax: 4, dirtyTopicsMax: 8, sliceItems: 3 };
    const { broker, folder, clock, reopen } = await openLog({ limits });
    for (let i = 0; i < 50; i++) await append(broker, topicName(`chat/t${i}`), minor('x'), { ttlMs: 60_000 });
    await append(broker, topicName('chat/stays'), minor('x'));
    const again = await reopen({ limits });
    await clock.advance(60_000);
    await expect
      .poll(async () =>
        (await again.list(parseTopicPattern('chat/*'), { limit: 100 })).topics.map(({ topic }) => topic),
      )
      .toEqual(['chat/stays']);
    expect(await again.read(topicName('chat/t3'), 'earliest')).toMatchObject({ reason: 'expired' });
    await clock.advance(60 * 60 * 1000);
    expect(await again.read(topicName('chat/t3'), 'earliest')).toEqual({ kind: 'missing' });
    const index = new TopicIndex(join(folder, 'index'), () => undefined);
    await expect
      .poll(async () => {
        await append(again, topicName('chat/stays'), minor('x'));
        await clock.advance(DEFAULT_LIMITS.checkpointIntervalMs);
        return [...index.topicsFrom('', '')].map(({ name }) => name);
      })
      .toEqual(['chat/stays']);
    await index.close();
    await again.close();
  });

  test('follows elapsed time: a wall clock set forward expires nothing, and one set back over a restart revives nothing', async () => {
    const { broker, clock, reopen } = await openLog();
    await append(broker, CHAT, minor('x'), { ttlMs: 60_000 });
    clock.jumpWall(3_600_000);
    await clock.advance(59_000);
    expect(await isMissing(broker, CHAT)).toBe(false);
    const { expiresAt = 0 } = await infoOf(broker, CHAT);
    clock.jumpWall(-7_200_000);
    const again = await reopen();
    expect((await infoOf(again, CHAT)).expiresAt).toBe(expiresAt);
    await clock.advance(1000);
    await expect.poll(() => isMissing(again, CHAT)).toBe(true);
  });
});

// A start on a folder that a crash left: exactly what was acknowledged, or a refusal that names the place. Never less
// without an error, and never other bytes.
import { readFile, rm, stat, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { BrokerEngine } from '../../../src/broker/broker.ts';
import { isBrokerError } from '../../../src/broker/errors.ts';
import {
  append,
  CHAT,
  infoOf,
  major,
  minor,
  outcome,
  QUEUE,
  readItems,
  readLines,
  topicName,
  write,
} from '../contract/subject.ts';
import { BATCH_HEAD_BYTES } from '../../../src/broker/log/format/batch-codec.ts';
import { FaultyFiles } from './faulty-files.ts';
import { crashCopy, openLog, segmentPath } from './opened-log.ts';

async function sizeOf(path: string): Promise<number> {
  return (await stat(path)).size;
}

/** The outcome of opening: the engine, or the refusal. */
async function attempt(folder: string): Promise<BrokerEngine | Error> {
  try {
    return (await openLog({ folder })).broker;
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
}

async function expectRefused(folder: string, ...named: (string | number)[]): Promise<void> {
  const refused = await attempt(folder);
  expect(isBrokerError(refused, 'corrupt')).toBe(true);
  for (const part of named) expect((refused as Error).message).toContain(String(part));
}

describe('after a crash', () => {
  test('a log torn at any byte of its last batch gives exactly what was acknowledged before it, and takes appends', async () => {
    const { broker, folder } = await openLog();
    await append(broker, CHAT, [...major('ask'), ...minor('a', 'b')], { ttlMs: 1000 });
    await append(broker, CHAT, major('ab'), { supersedes: [[1, 2]] });
    const whole = await sizeOf(segmentPath(folder));
    await broker.append([write(CHAT, minor('torn', 'apart')), write(topicName('list/one'), major('torn'))]);
    const torn = await readFile(segmentPath(folder));
    const crashed = await crashCopy(folder);
    for (let cut = whole; cut < torn.length; cut++) {
      const copy = await crashCopy(crashed);
      await writeFile(segmentPath(copy), torn.subarray(0, cut));
      const { broker: again } = await openLog({ folder: copy });
      expect(await readLines(again, CHAT)).toEqual(['0M:ask', '1-2>3', '3M:ab']);
      expect(await again.describe([topicName('list/one')])).toEqual([undefined]);
      expect((await append(again, CHAT, minor('next'))).first).toBe(4);
      await again.close();
    }
  });

  test('a last batch is cut off whole, without an alarm, when any byte of it did not reach the disk', async () => {
    const { broker, folder } = await openLog({ bootId: 'one' });
    const { epoch } = await append(broker, CHAT, minor('0'));
    const whole = await sizeOf(segmentPath(folder));
    await append(broker, CHAT, minor('1', '2'));
    const bytes = await readFile(segmentPath(folder));
    for (let at = whole; at < bytes.length; at++) {
      const copy = await crashCopy(folder);
      const lost = Buffer.from(bytes);
      lost[at] = (lost[at] ?? 0) ^ 0xff;
      await writeFile(segmentPath(copy), lost);
      const warnings: string[] = [];
      const { broker: again } = await openLog({
        folder: copy,
        bootId: 'two',
        onWarning: (text) => warnings.push(text),
      });
      expect(await readLines(again, CHAT)).toEqual(['0m:0']);
      expect(await infoOf(again, CHAT)).toMatchObject({ epoch });
      expect(again.health().state).toBe('ready');
      expect(warnings).toEqual([]);
      await again.close();
    }
  });

  test('a flipped bit behind the checkpoint is never served: the record is lost, and every other one is served', async () => {
    const { broker, folder } = await openLog();
    await append(broker, CHAT, minor('zero'));
    const from = await sizeOf(segmentPath(folder));
    await append(broker, CHAT, minor('one'));
    const to = await sizeOf(segmentPath(folder));
    await append(broker, CHAT, minor('two'));
    await broker.close();
    const bytes = await readFile(segmentPath(folder));
    let whole = 0;
    for (let at = from; at < to; at++) {
      const copy = await crashCopy(folder);
      const flipped = Buffer.from(bytes);
      flipped[at] = (flipped[at] ?? 0) ^ (1 << (at % 8));
      await writeFile(segmentPath(copy), flipped);
      const { broker: again } = await openLog({ folder: copy });
      const lines = await readLines(again, CHAT);
      if (lines[1] === '1m:one') whole += 1;
      else expect(lines).toEqual(['0m:zero', '1-1 lost', '2m:two']);
      await again.close();
    }
    // Frames are read without the batch's head, whose bits do not matter here.
    expect(whole).toBe(BATCH_HEAD_BYTES);
  });

  test('a log without its index and without its first segment is refused', async () => {
    const { broker, folder } = await openLog({ limits: { segmentBytes: 2048 } });
    for (let i = 0; i < 4; i++) await append(broker, CHAT, minor('x'.repeat(1500)));
    const copy = await crashCopy(folder);
    await rm(join(copy, 'index'), { recursive: true });
    await unlink(segmentPath(copy, 1));
    await expectRefused(copy, 'It cannot be made again from the log, because segments of the log were removed');
  });

  test('a log without its index restores everything', async () => {
    const { broker, folder } = await openLog({ limits: { segmentBytes: 2048 } });
    const told: string[] = [];
    for (let i = 0; i < 10; i++) {
      await append(broker, CHAT, minor(`${i}`.repeat(500)));
      told.push(`${i}m:${`${i}`.repeat(500)}`);
    }
    const copy = await crashCopy(folder);
    await rm(join(copy, 'index'), { recursive: true });
    expect(await readLines((await openLog({ folder: copy })).broker, CHAT)).toEqual(told);
  });

  test('a segment is made again when the process died while it was being made', async () => {
    const { broker, folder } = await openLog();
    await append(broker, CHAT, minor('0'));
    for (const bytes of [Buffer.alloc(0), Buffer.alloc(17, 1), Buffer.alloc(40)]) {
      const copy = await crashCopy(folder);
      await writeFile(segmentPath(copy, 2), bytes);
      const { broker: again } = await openLog({ folder: copy });
      expect((await append(again, CHAT, minor('1'))).first).toBe(1);
      await again.close();
    }
  });

  test('a log of another format version is refused with an error', async () => {
    const { broker, folder } = await openLog();
    await append(broker, CHAT, minor('0'));
    const copy = await crashCopy(folder);
    const { crc32 } = await import('node:zlib');
    const bytes = await readFile(segmentPath(copy));
    bytes.writeUInt32LE(3, 8);
    bytes.writeUInt32LE(crc32(bytes.subarray(0, 32)), 32);
    await writeFile(segmentPath(copy), bytes);
    const refused = await attempt(copy);
    expect(isBrokerError(refused, 'invalid-config')).toBe(true);
    expect((refused as Error).message).toContain('format 3');
  });

  test('fences, retries, groups, removals and expiries are as they were acknowledged', async () => {
    const { broker, folder, clock } = await openLog();
    const { epoch, first } = await append(broker, CHAT, major('start'), { takeFence: true });
    const fenced = { expect: { epoch }, fence: { fence: first, seq: 1 } } as const;
    const answer = await append(broker, CHAT, minor('a'), fenced);
    await append(broker, topicName('chat/removed'), minor('x'));
    await broker.remove(topicName('chat/removed'));
    await append(broker, topicName('chat/expired'), minor('x'), { ttlMs: 1000 });
    await clock.advance(1000);
    await append(broker, QUEUE, minor('job 1', 'job 2'), { priority: 'high' });
    for await (const delivery of broker.consume('workers', 'request/*/*' as never, {
      credit: 1,
      visibilityMs: 1000,
      signal: new AbortController().signal,
    })) {
      await delivery.ack();
      break;
    }
    const { broker: again } = await openLog({ folder: await crashCopy(folder) });
    expect(await append(again, CHAT, minor('a'), fenced)).toEqual(answer);
    expect(await outcome(append(again, CHAT, minor('b'), { ...fenced, fence: { fence: first, seq: 3 } }))).toBe(
      'out-of-sequence',
    );
    expect(await again.read(topicName('chat/removed'), 'earliest')).toMatchObject({ kind: 'reset', reason: 'removed' });
    expect(await again.read(topicName('chat/expired'), 'earliest')).toMatchObject({ kind: 'reset', reason: 'expired' });
    for await (const delivery of again.consume('workers', 'request/*/*' as never, {
      credit: 1,
      visibilityMs: 1000,
      signal: new AbortController().signal,
    })) {
      expect(delivery).toMatchObject({ record: { data: 'job 2' }, priority: 'high' });
      break;
    }
  });
});

describe('start-up', () => {
  test('reads only what follows the checkpoint, however long the log', async () => {
    const { broker, folder } = await openLog({ limits: { segmentBytes: 256 * 1024 } });
    for (let i = 0; i < 40; i++)
      await append(
        broker,
        topicName(`chat/t${i}`),
        minor(...Array.from({ length: 100 }, (_, j) => `${i}.${j}`.repeat(20))),
      );
    await broker.close();
    const files = new FaultyFiles();
    const { broker: again } = await openLog({ folder, files });
    expect(files.bytesRead).toBeLessThan(64 * 1024);
    expect((await readItems(again, topicName('chat/t7'))).length).toBe(100);
    await append(again, CHAT, minor('after'));
    const copy = await crashCopy(folder);
    const later = new FaultyFiles();
    const { broker: third } = await openLog({ folder: copy, files: later });
    expect(later.bytesRead).toBeLessThan(64 * 1024);
    expect(await readLines(third, CHAT)).toEqual(['0m:after']);
  });

  test('replays the rest on top of a checkpoint that was taken during appends', async () => {
    const { broker, folder } = await openLog({ limits: { checkpointBytes: 2000, segmentBytes: 4096 } });
    const expected: string[] = [];
    for (let i = 0; i < 300; i++) {
      const supersedes = i % 10 === 9 ? { supersedes: [[i - 4, i - 1]] as [number, number][] } : {};
      await append(broker, CHAT, i % 10 === 9 ? major(`${i}`) : minor(`${i}`), supersedes);
      if (i % 37 !== 0) continue;
      const { broker: again } = await openLog({ folder: await crashCopy(folder) });
      expect(await readLines(again, CHAT)).toEqual(await readLines(broker, CHAT));
      expect(await infoOf(again, CHAT)).toEqual(await infoOf(broker, CHAT));
      await again.close();
      expected.push('compared');
    }
    expect(expected.length).toBe(9);
  });
});

describe('the epoch after an unclean stop', () => {
  test.each([
    { mode: 'always', otherBoot: true, changes: false },
    { mode: 'always', otherBoot: false, changes: false },
    { mode: 'os', otherBoot: false, changes: false },
    { mode: 'os', otherBoot: true, changes: true },
    { mode: 'interval', otherBoot: true, changes: true },
  ] as const)('mode $mode, another boot: $otherBoot', async ({ mode, otherBoot, changes }) => {
    const fsync = mode === 'interval' ? { mode, ms: 1000 } : { mode };
    const { broker, folder } = await openLog({ fsync, bootId: 'one' });
    const { epoch } = await append(broker, CHAT, minor('0'));
    const { broker: again, reopen } = await openLog({
      folder: await crashCopy(folder),
      fsync,
      bootId: otherBoot ? 'two' : 'one',
    });
    const now = await infoOf(again, CHAT);
    expect(now.epoch === epoch).toBe(!changes);
    const read = await again.read(CHAT, { epoch, offset: 0 });
    expect(read).toMatchObject(
      changes ? { kind: 'reset', reason: 'epoch-changed', epoch: now.epoch } : { kind: 'batch' },
    );
    expect(await append(again, CHAT, minor('1'), { expect: { epoch: now.epoch } })).toEqual({
      epoch: now.epoch,
      first: 1,
      next: 2,
    });
    const made = await append(again, QUEUE, minor('new'));
    // A clean stop changes no further epoch, also not of topics made since.
    const third = await reopen({ bootId: 'three' });
    expect((await infoOf(third, CHAT)).epoch).toBe(now.epoch);
    expect((await infoOf(third, QUEUE)).epoch).toBe(made.epoch);
  });

  test('a clean stop before the machine goes down changes no epoch in any mode', async () => {
    const { broker, reopen } = await openLog({ fsync: { mode: 'os' }, bootId: 'one' });
    const { epoch } = await append(broker, CHAT, minor('0'));
    expect((await infoOf(await reopen({ bootId: 'two' }), CHAT)).epoch).toBe(epoch);
  });

  test('the log is cut at the first missing batch when batches may be lost from the middle, and every reader receives a reset', async () => {
    const { broker, folder } = await openLog({ fsync: { mode: 'os' }, bootId: 'one' });
    const { epoch } = await append(broker, CHAT, minor('0'));
    const at = await sizeOf(segmentPath(folder));
    await append(broker, CHAT, minor('1'));
    await append(broker, CHAT, minor('2'));
    const copy = await crashCopy(folder);
    const bytes = await readFile(segmentPath(copy));
    bytes.fill(0, at, at + 40);
    await writeFile(segmentPath(copy), bytes);
    const { broker: again } = await openLog({ folder: copy, fsync: { mode: 'os' }, bootId: 'two' });
    expect(await readLines(again, CHAT)).toEqual(['0m:0']);
    expect((await infoOf(again, CHAT)).epoch).not.toBe(epoch);
  });
});

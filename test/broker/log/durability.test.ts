// Visible is never more than durable, and the engine reports everything that the device refuses or fails.
import { stat } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { isBrokerError } from '../../../src/broker/errors.ts';
import {
  append,
  batchOf,
  CHAT,
  CollectedTail,
  infoOf,
  isMissing,
  major,
  minor,
  outcome,
  QUEUE,
  readLines,
  topicName,
  write,
} from '../contract/subject.ts';
import { FaultyFiles } from './faulty-files.ts';
import { crashCopy, openLog, segmentPath } from './opened-log.ts';

async function turns(count = 20): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

describe('group commit', () => {
  test('shows nothing to any reader before its flush, and everything after it', async () => {
    const files = new FaultyFiles();
    const { broker } = await openLog({ files });
    const { epoch } = await append(broker, CHAT, minor('0'));
    const tail = new CollectedTail(broker, CHAT, { epoch, offset: 1 });
    files.hold('flush');
    const reached = files.reached();
    let acknowledged = false;
    const writing = append(broker, CHAT, major('1')).then(() => (acknowledged = true));
    await reached;
    await turns();
    expect(acknowledged).toBe(false);
    expect(await readLines(broker, CHAT)).toEqual(['0m:0']);
    expect(await infoOf(broker, CHAT)).toMatchObject({ next: 1, lastMajor: -1, bytes: 1 });
    expect(tail.seen).toEqual([]);
    files.release();
    await writing;
    expect(await tail.reached(2)).toEqual(['1M:1']);
  });

  test('flushes once for all appends that arrive during the previous flush', async () => {
    const files = new FaultyFiles();
    const { broker } = await openLog({ files });
    await append(broker, CHAT, minor('0'));
    files.hold('flush');
    const reached = files.reached();
    const first = append(broker, CHAT, minor('1'));
    await reached;
    const before = files.count('datasync');
    const rest = Array.from({ length: 200 }, (_, i) => append(broker, topicName(`chat/t${i % 7}`), minor(`${i}`)));
    await turns();
    files.release();
    await Promise.all([first, ...rest]);
    expect(files.count('datasync') - before).toBe(2);
  });

  test('refuses an append only when the state behind the refusal is durable, so that the caller can read why', async () => {
    const files = new FaultyFiles();
    const { broker } = await openLog({ files });
    const { epoch } = await append(broker, CHAT, minor('0'));
    files.hold('flush');
    const reached = files.reached();
    const winner = append(broker, CHAT, major('won'));
    const loser = outcome(append(broker, CHAT, major('lost'), { ifUnchanged: { epoch, offset: 0 } }));
    const told: string[] = [];
    void loser.then((code) => told.push(code));
    await reached;
    await turns();
    expect(told).toEqual([]);
    files.release();
    await winner;
    expect(await loser).toBe('conflict');
    expect((await infoOf(broker, CHAT)).lastMajor).toBe(1);
  });

  test('refuses appends as overloaded instead of buffering without end, and accepts appends again afterwards', async () => {
    const files = new FaultyFiles();
    const { broker } = await openLog({ files, limits: { pendingBytesMax: 4096 } });
    await append(broker, CHAT, minor('0'));
    files.hold('flush');
    const reached = files.reached();
    const first = append(broker, CHAT, minor('1'));
    await reached;
    const codes = Array.from({ length: 20 }, () => outcome(append(broker, CHAT, minor('x'.repeat(1000)))));
    await turns();
    files.release();
    await first;
    const told = await Promise.all(codes);
    expect(told.filter((code) => code === 'accepted').length).toBeLessThan(8);
    expect(told).toContain('overloaded');
    expect(await outcome(append(broker, CHAT, minor('2')))).toBe('accepted');
  });
});

describe('a new segment', () => {
  test('has a durable name in its folder before anything in it is acknowledged', async () => {
    const files = new FaultyFiles();
    const { broker } = await openLog({ files, limits: { segmentBytes: 4096 } });
    for (let i = 0; i < 12; i++) {
      await append(broker, CHAT, minor('x'.repeat(1500)));
      files.trace.push('acknowledged');
    }
    const created = files.trace.flatMap((line, i) => (/^open:create .*\.seg$/.test(line) ? [i] : []));
    expect(created.length).toBeGreaterThan(3);
    for (const at of created) {
      const name = files.trace[at]?.split(' ')[1] ?? '';
      expect(files.trace.slice(at, at + 7)).toEqual([
        `open:create ${name}`,
        `write ${name}`,
        `datasync ${name}`,
        'syncFolder log',
        `write ${name}`,
        `datasync ${name}`,
        'acknowledged',
      ]);
    }
  });
});

describe('a full device', () => {
  test('fails appends that did not fit, serves reads, and heals by itself', async () => {
    const files = new FaultyFiles();
    const { broker, folder, reopen, fatal } = await openLog({ files });
    const { epoch } = await append(broker, CHAT, minor('0'));
    const tail = new CollectedTail(broker, CHAT, { epoch, offset: 0 });
    const { size } = await stat(segmentPath(folder));
    // A part of the batch still fits: the device accepts it, and refuses the rest.
    files.room = 30;
    expect(await outcome(append(broker, CHAT, minor('lost')))).toBe('disk-full');
    expect(await outcome(append(broker, QUEUE, minor('lost'), { expect: { absent: true } }))).toBe('disk-full');
    expect(broker.health().state).toBe('full');
    expect((await stat(segmentPath(folder))).size).toBe(size);
    expect(await readLines(broker, CHAT)).toEqual(['0m:0']);
    files.room = Number.POSITIVE_INFINITY;
    expect(await append(broker, CHAT, minor('1'))).toEqual({ epoch, first: 1, next: 2 });
    expect(await isMissing(broker, QUEUE)).toBe(true);
    expect(broker.health().state).toBe('ready');
    expect(await tail.reached(2)).toEqual(['0m:0', '1m:1']);
    expect(await readLines(await reopen(), CHAT)).toEqual(['0m:0', '1m:1']);
    expect(fatal).toEqual([]);
  });

  test('fails appends that were decided on top of an append that did not fit', async () => {
    const files = new FaultyFiles();
    const { broker } = await openLog({ files });
    await append(broker, CHAT, minor('0'));
    files.hold('write');
    const reached = files.reached();
    const refused = outcome(append(broker, CHAT, minor('1')));
    await reached;
    // These appends wait behind it; their offsets would never exist.
    const behind = [
      append(broker, CHAT, major('2')),
      append(broker, CHAT, minor('3'), { expect: { absent: true } }),
      append(broker, QUEUE, minor('4')),
    ].map(outcome);
    await turns();
    files.room = 0;
    files.release();
    expect([await refused, ...(await Promise.all(behind))]).toEqual(Array(4).fill('disk-full'));
    files.room = Number.POSITIVE_INFINITY;
    expect((await append(broker, CHAT, minor('5'))).first).toBe(1);
    expect(await readLines(broker, CHAT)).toEqual(['0m:0', '1m:5']);
    expect(await isMissing(broker, QUEUE)).toBe(true);
  });

  test('leaves no trace of a new segment that was due', async () => {
    const files = new FaultyFiles();
    const { broker, reopen } = await openLog({ files, limits: { segmentBytes: 2048 } });
    await append(broker, CHAT, minor('x'.repeat(1800)));
    files.room = 10;
    expect(await outcome(append(broker, CHAT, minor('y'.repeat(1800))))).toBe('disk-full');
    files.room = Number.POSITIVE_INFINITY;
    await append(broker, CHAT, minor('z'));
    expect(await readLines(await reopen(), CHAT)).toEqual([`0m:${'x'.repeat(1800)}`, '1m:z']);
  });
});

describe('a device that takes little at a time', () => {
  test('receives every byte', async () => {
    const files = new FaultyFiles();
    const { broker, reopen } = await openLog({ files });
    files.writeBytesMax = 7;
    await broker.append([write(CHAT, minor('a'.repeat(100))), write(topicName('list/one'), major('b'))]);
    files.writeBytesMax = Number.POSITIVE_INFINITY;
    expect(await readLines(await reopen(), CHAT)).toEqual([`0m:${'a'.repeat(100)}`]);
  });
});

describe.each([
  ['a flush', (files: FaultyFiles) => (files.failSync = 'EIO')],
  ['a write', (files: FaultyFiles) => (files.failWrite = 'EIO')],
])('%s that fails', (_what, fail) => {
  test('stops the engine for good: it acknowledges nothing any more, and serves reads', async () => {
    const files = new FaultyFiles();
    const { broker, fatal, folder } = await openLog({ files });
    await append(broker, CHAT, minor('0'));
    fail(files);
    const codes = [append(broker, CHAT, minor('1')), append(broker, QUEUE, minor('2'))].map(outcome);
    expect(await Promise.all(codes)).toEqual(['failed', 'failed']);
    files.failSync = undefined;
    files.failWrite = undefined;
    const flushes = files.count('datasync');
    expect(await outcome(append(broker, CHAT, minor('3')))).toBe('failed');
    expect(await outcome(broker.remove(CHAT))).toBe('failed');
    expect(files.count('datasync')).toBe(flushes);
    expect(broker.health().state).toBe('failed');
    expect(fatal).toHaveLength(1);
    expect(isBrokerError(fatal[0], 'failed')).toBe(true);
    expect(await readLines(broker, CHAT)).toEqual(['0m:0']);
    await broker.close();
    const again = await openLog({ folder: await crashCopy(folder) });
    // A batch whose flush failed may have reached the disk whole, but the engine did not acknowledge it.
    expect((await readLines(again.broker, CHAT))[0]).toBe('0m:0');
    expect(batchOf(await again.broker.read(CHAT, 'earliest')).items.length).toBeLessThanOrEqual(2);
  });
});

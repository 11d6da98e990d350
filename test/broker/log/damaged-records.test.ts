// Damage in segments that no start replays: what readers and writers get, what the operator sees, and what stays whole.
import { readdir, readFile, stat, truncate, unlink, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { BrokerEngine, ReadResult } from '../../../src/broker/broker.ts';
import { parseTopicPattern } from '../../../src/broker/lite-topic.ts';
import { append, batchOf, infoOf, major, minor, outcome, QUEUE, readLines, topicName } from '../contract/subject.ts';
import { FaultyFiles } from './faulty-files.ts';
import { crashCopy, openLog, segmentPath, type OpenedLog } from './opened-log.ts';

const CHATS = ['a', 'b', 'c'].map((name) => topicName(`chat/${name}`));
const [A, B] = [topicName('chat/a'), topicName('chat/b')];
const ROUNDS = 6;

function textOf(name: string, round: number): string {
  return `${name} says ${round} `.repeat(20);
}

interface Folder extends OpenedLog {
  readonly warnings: string[];
}

/** Three chats, whose records are in turn in several sealed segments, opened again after a checkpoint. No read is
 *  served from memory. */
async function writtenLog(files?: FaultyFiles): Promise<Folder> {
  const warnings: string[] = [];
  const log = await openLog({
    ...(files === undefined ? {} : { files }),
    limits: { segmentBytes: 2048, recentBytes: 0 },
    onWarning: (text) => warnings.push(text),
  });
  for (let round = 0; round < ROUNDS; round++)
    for (const chat of CHATS) await append(log.broker, chat, minor(textOf(chat, round)));
  return { ...log, warnings, broker: await log.reopen() };
}

/** Flips one bit of the chat's text. Returns where in the segment the text is. */
async function flipBit(folder: string, segment: number, text: string): Promise<number> {
  const path = segmentPath(folder, segment);
  const bytes = await readFile(path);
  const at = bytes.indexOf(text);
  expect(at).toBeGreaterThan(0);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  await writeFile(path, bytes);
  return at;
}

async function readsWhole(broker: BrokerEngine, name: string): Promise<void> {
  const expected = Array.from({ length: ROUNDS }, (_, round) => `${round}m:${textOf(name, round)}`);
  expect(await readLines(broker, topicName(name))).toEqual(expected);
}

/** The lines of a chat of which these offsets are lost. */
function linesWithout(name: string, from: number, to: number): string[] {
  const lines = Array.from({ length: ROUNDS }, (_, round) => `${round}m:${textOf(name, round)}`);
  lines.splice(from, to - from + 1, `${from}-${to} lost`);
  return lines;
}

async function nextOf(tail: AsyncIterable<ReadResult>): Promise<ReadResult> {
  for await (const result of tail) return result;
  throw new Error('the tail ended');
}

describe('a damaged record', () => {
  test('is declared as lost in another epoch, counted, and reported once, when a read finds it', async () => {
    const { broker, folder, warnings } = await writtenLog();
    const { epoch } = await infoOf(broker, A);
    expect(broker.health()).toMatchObject({ state: 'ready', damage: { topics: 0, missingSegments: 0 } });
    await flipBit(folder, 1, textOf('chat/a', 1));
    for (let i = 0; i < 3; i++) expect(await readLines(broker, A)).toEqual(linesWithout('chat/a', 1, 1));
    const now = await infoOf(broker, A);
    expect(now).toMatchObject({ epoch: `${epoch}_1`, earliest: 0, next: ROUNDS });
    expect(broker.health()).toMatchObject({ state: 'degraded', damage: { topics: 1, missingSegments: 0 } });
    expect(broker.damaged?.()).toMatchObject([{ topic: A, records: 1 }]);
    expect(warnings).toEqual([
      expect.stringMatching(
        /^the topic chat\/a is damaged: offset 1, segment 1 at byte \d+: a frame does not match its checksum$/,
      ),
    ]);
    await readsWhole(broker, 'chat/b');
    await readsWhole(broker, 'chat/c');
  });

  test('resets every reader with a position as damaged, and every attached tail', async () => {
    const { broker, folder } = await writtenLog();
    const { epoch } = await infoOf(broker, A);
    const stop = new AbortController();
    const live = nextOf(broker.tail(A, { epoch, offset: ROUNDS }, { signal: stop.signal }));
    const majors = nextOf(broker.tail(A, { epoch, offset: ROUNDS }, { signal: stop.signal, majorOnly: true }));
    await flipBit(folder, 1, textOf('chat/a', 0));
    const reset = { kind: 'reset', reason: 'damaged', epoch: `${epoch}_1`, earliest: 0, next: ROUNDS };
    expect(await broker.read(A, { epoch, offset: 0 })).toEqual(reset);
    expect(await live).toEqual(reset);
    expect(await majors).toEqual(reset);
    expect(await broker.read(A, { epoch, offset: 3 })).toEqual(reset);
    expect(await broker.read(A, { epoch: 'other', offset: 3 })).toMatchObject({ reason: 'epoch-changed' });
    await flipBit(folder, 1, textOf('chat/a', 1));
    expect(await broker.read(A, { epoch: `${epoch}_1`, offset: 0 })).toMatchObject({ reason: 'damaged' });
    expect(await broker.read(A, { epoch, offset: 0 })).toMatchObject({ reason: 'damaged', epoch: `${epoch}_2` });
    expect(await readLines(broker, A)).toEqual(linesWithout('chat/a', 0, 1));
  });

  test('refuses writers of the earlier epoch, and takes those of the new one', async () => {
    const { broker, folder } = await writtenLog();
    const { epoch, next } = await infoOf(broker, A);
    await flipBit(folder, 1, textOf('chat/a', 0));
    const reading = broker.read(A, 'earliest');
    await reading;
    expect(await outcome(append(broker, A, minor('x'), { expect: { epoch } }))).toBe('epoch-changed');
    expect(await append(broker, A, minor('x'), { expect: { epoch: `${epoch}_1` } })).toMatchObject({ first: next });
    expect((await readLines(broker, A)).at(-1)).toBe(`${next}m:x`);
  });

  test('is declared once for any number of readers that find it at the same time', async () => {
    const { broker, folder } = await writtenLog();
    const { epoch } = await infoOf(broker, A);
    await flipBit(folder, 1, textOf('chat/a', 0));
    await flipBit(folder, 1, textOf('chat/a', 1));
    const reads = await Promise.all(
      Array.from({ length: 20 }, (_, i) => broker.read(A, 'earliest', { maxRecords: 1 + (i % 3) })),
    );
    for (const read of reads) expect(read).toMatchObject({ kind: 'batch' });
    // One declaration names what one read found, so the two records take two at most.
    expect(['_1', '_2']).toContain((await infoOf(broker, A)).epoch.slice(epoch.length));
    expect(broker.damaged?.()).toMatchObject([{ topic: A, records: 2 }]);
    expect(await readLines(broker, A)).toEqual(linesWithout('chat/a', 0, 1));
  });

  test('is declared once when a read that began before the declaration finds it afterwards', async () => {
    const files = new FaultyFiles();
    const { broker, folder } = await writtenLog(files);
    const { epoch } = await infoOf(broker, A);
    await flipBit(folder, 1, textOf('chat/a', 0));
    files.hold('read');
    const late = broker.read(A, 'earliest');
    await files.reached();
    await readLines(broker, A);
    expect((await infoOf(broker, A)).epoch).toBe(`${epoch}_1`);
    files.release();
    expect(await late).toMatchObject({ kind: 'batch', epoch: `${epoch}_1` });
    expect((await infoOf(broker, A)).epoch).toBe(`${epoch}_1`);
    expect(broker.damaged?.()).toMatchObject([{ topic: A, records: 1 }]);
  });

  test('stays lost over a restart and over a crash, with its reason, until its topic is removed', async () => {
    const { broker, folder, reopen } = await writtenLog();
    await flipBit(folder, 1, textOf('chat/a', 1));
    await readLines(broker, A);
    const { epoch } = await infoOf(broker, A);
    const crashed = await openLog({ folder: await crashCopy(folder) });
    expect(await readLines(crashed.broker, A)).toEqual(linesWithout('chat/a', 1, 1));
    expect(await infoOf(crashed.broker, A)).toMatchObject({ epoch });
    expect(crashed.broker.damaged?.()).toMatchObject([{ topic: A, records: 1 }]);
    const known = broker.damaged?.();
    const again = await reopen();
    expect(again.damaged?.()).toEqual(known);
    expect(again.health().state).toBe('degraded');
    expect(await readLines(again, A)).toEqual(linesWithout('chat/a', 1, 1));
    expect(await infoOf(again, A)).toMatchObject({ epoch });
    expect(await again.read(A, { epoch: epoch.slice(0, -2), offset: 0 })).toMatchObject({ reason: 'damaged' });
    expect(await again.remove(A)).toBe(true);
    expect(again.health()).toMatchObject({ state: 'ready', damage: { topics: 0 } });
    expect((await reopen()).health().state).toBe('ready');
  });

  test('is shown by no read that skips minor records, and by none backward', async () => {
    const { broker, folder, reopen } = await openLog({ limits: { segmentBytes: 2048, recentBytes: 0 } });
    for (const text of ['zero', 'one', 'two', 'three']) await append(broker, A, major(text));
    const again = await reopen();
    await flipBit(folder, 1, 'one');
    await flipBit(folder, 1, 'two');
    const options = { majorOnly: true, direction: 'backward' } as const;
    expect(batchOf(await again.read(A, 'end', options)).items).toMatchObject([
      { offset: 3 },
      { kind: 'lost', from: 1, to: 2 },
      { offset: 0 },
    ]);
    expect((await infoOf(again, A)).lastMajor).toBe(3);
  });

  test('costs no read after a write has replaced it', async () => {
    const { broker, folder } = await writtenLog();
    await flipBit(folder, 1, textOf('chat/a', 1));
    await readLines(broker, A);
    await append(broker, A, major('answer'), { supersedes: [[0, ROUNDS - 1]] });
    expect(await readLines(broker, A)).toEqual([`0-${ROUNDS - 1}>${ROUNDS}`, `${ROUNDS}M:answer`]);
    expect((await infoOf(broker, A)).bytes).toBe('answer'.length);
  });

  test('is corrupt as long as its loss cannot be made durable', async () => {
    const files = new FaultyFiles();
    const { broker, folder } = await writtenLog(files);
    const { epoch } = await infoOf(broker, A);
    await flipBit(folder, 1, textOf('chat/a', 1));
    files.hold('flush');
    const held = outcome(broker.read(A, 'earliest'));
    await files.reached();
    expect((await infoOf(broker, A)).epoch).toBe(epoch);
    expect(broker.health()).toMatchObject({ state: 'degraded', damage: { topics: 1 } });
    files.failSync = 'EIO';
    files.release();
    expect(await held).toBe('corrupt');
    expect((await infoOf(broker, A)).epoch).toBe(epoch);
  });
});

test('the frame of a declaration that is cut by a crash leaves the topic as it was', async () => {
  const { broker, folder } = await writtenLog();
  const { epoch } = await infoOf(broker, A);
  const last = segmentPath(folder, (await readdir(join(folder, 'log'))).length);
  const whole = (await stat(last)).size;
  await flipBit(folder, 1, textOf('chat/a', 1));
  await readLines(broker, A);
  const torn = await readFile(last);
  const copy = await crashCopy(folder);
  for (let cut = whole; cut < torn.length; cut += 3) {
    await writeFile(join(copy, 'log', basename(last)), torn.subarray(0, cut));
    const again = await openLog({ folder: await crashCopy(copy) });
    expect((await infoOf(again.broker, A)).epoch).toBe(epoch);
    expect(await readLines(again.broker, A)).toEqual(linesWithout('chat/a', 1, 1));
    expect((await infoOf(again.broker, A)).epoch).toBe(`${epoch}_1`);
    await again.broker.close();
  }
});

test('records behind the end of a truncated segment are lost, and the records before it are served', async () => {
  const { broker, folder, warnings } = await writtenLog();
  const whole = await readFile(segmentPath(folder, 1));
  await truncate(segmentPath(folder, 1), whole.indexOf(textOf('chat/a', 1)));
  expect(batchOf(await broker.read(A, 'earliest', { maxRecords: 1 })).items).toMatchObject([
    { offset: 0, data: textOf('chat/a', 0) },
  ]);
  expect((await readLines(broker, A)).slice(0, 2)).toEqual([
    `0m:${textOf('chat/a', 0)}`,
    expect.stringMatching(/^1-\d lost$/),
  ]);
  expect(warnings).toEqual([
    expect.stringMatching(
      /^the topic chat\/a is damaged: offsets? 1.*, segment 1 at byte \d+: segment 1 ends at byte \d+$/,
    ),
  ]);
  expect(broker.health()).toMatchObject({ state: 'degraded', damage: { topics: 1, missingSegments: 0 } });
});

test('records of a segment whose file disappears are lost, and the file is counted as missing', async () => {
  const { broker, folder } = await writtenLog();
  await unlink(segmentPath(folder, 2));
  expect((await readLines(broker, B)).filter((line) => line.endsWith(' lost'))).toHaveLength(1);
  expect(broker.health()).toMatchObject({ state: 'degraded', damage: { topics: 1, missingSegments: 1 } });
});

test('a group skips a lost request and delivers what follows, under another lease', async () => {
  const { broker, folder, reopen } = await openLog({ limits: { segmentBytes: 2048, recentBytes: 0 } });
  await append(broker, QUEUE, [...minor('job zero'), ...minor('job one')]);
  await append(broker, QUEUE, minor('job two'));
  const again = await reopen();
  await flipBit(folder, 1, 'job zero');
  const options = { credit: 1, visibilityMs: 1000, signal: new AbortController().signal };
  for await (const delivery of again.consume('workers', parseTopicPattern('request/*/*'), options)) {
    expect(delivery).toMatchObject({ record: { offset: 2, data: 'job two' } });
    expect(await delivery.ack()).toBe(true);
    break;
  }
});

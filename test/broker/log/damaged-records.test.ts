// Damage in segments that no start replays: what a reader gets, what the operator sees, and what stays whole.
import { readFile, truncate, unlink, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import type { BrokerEngine } from '../../../src/broker/broker.ts';
import { append, batchOf, minor, outcome, readLines, topicName } from '../contract/subject.ts';
import { openLog, segmentPath, type OpenedLog } from './opened-log.ts';

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
async function writtenLog(): Promise<Folder> {
  const warnings: string[] = [];
  const log = await openLog({
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

describe('a damaged record', () => {
  test('is corrupt to its readers, counted, and reported once an hour, when a read finds it', async () => {
    const { broker, folder, warnings, clock } = await writtenLog();
    expect(broker.health()).toMatchObject({ state: 'ready', damage: { topics: 0, missingSegments: 0 } });
    await flipBit(folder, 1, textOf('chat/a', 1));
    for (let i = 0; i < 3; i++) expect(await outcome(broker.read(A, 'earliest'))).toBe('corrupt');
    expect(broker.health()).toMatchObject({ state: 'degraded', damage: { topics: 1, missingSegments: 0 } });
    expect(warnings).toEqual([
      expect.stringMatching(
        /^the topic chat\/a is damaged: offset 1, segment 1 at byte \d+: a frame does not match its checksum$/,
      ),
    ]);
    await readsWhole(broker, 'chat/b');
    await readsWhole(broker, 'chat/c');
    await clock.advance(60 * 60 * 1000);
    expect(await outcome(broker.read(A, 'earliest'))).toBe('corrupt');
    expect(warnings).toHaveLength(2);
    expect(broker.health().damage?.topics).toBe(1);
  });

  test('is no longer counted when its topic is removed', async () => {
    const { broker, folder } = await writtenLog();
    await flipBit(folder, 1, textOf('chat/a', 0));
    expect(await outcome(broker.read(A, 'earliest'))).toBe('corrupt');
    expect(broker.health()).toMatchObject({ state: 'degraded', damage: { topics: 1 } });
    expect(await broker.remove(A)).toBe(true);
    expect(broker.health()).toMatchObject({ state: 'ready', damage: { topics: 0 } });
  });
});

test('records behind the end of a truncated segment are corrupt, and the records before it are served', async () => {
  const { broker, folder, warnings } = await writtenLog();
  const whole = await readFile(segmentPath(folder, 1));
  await truncate(segmentPath(folder, 1), whole.indexOf(textOf('chat/a', 1)));
  expect(batchOf(await broker.read(A, 'earliest', { maxRecords: 1 })).items).toMatchObject([
    { offset: 0, data: textOf('chat/a', 0) },
  ]);
  expect(await outcome(broker.read(A, 'earliest'))).toBe('corrupt');
  expect(warnings).toEqual([
    expect.stringMatching(
      /^the topic chat\/a is damaged: offsets? 1.*, segment 1 at byte \d+: segment 1 ends at byte \d+$/,
    ),
  ]);
  expect(broker.health()).toMatchObject({ state: 'degraded', damage: { topics: 1, missingSegments: 0 } });
});

test('records of a segment whose file disappears are corrupt, and the file is counted as missing', async () => {
  const { broker, folder } = await writtenLog();
  const path = segmentPath(folder, 2);
  const bytes = await readFile(path);
  await unlink(path);
  expect(await outcome(broker.read(B, 'earliest'))).toBe('corrupt');
  expect(broker.health()).toMatchObject({ state: 'degraded', damage: { topics: 1, missingSegments: 1 } });
  await writeFile(path, bytes);
  await readsWhole(broker, 'chat/b');
  expect(broker.health().damage?.missingSegments).toBe(0);
});

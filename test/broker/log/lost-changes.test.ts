// Damage in the part of the log that a start replays: what is kept, what is declared as lost, whose positions hold, and
// that a start that was cut short is repeated with the same result.
import { readFile, stat, truncate, unlink, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import type { BrokerEngine } from '../../../src/broker/broker.ts';
import { parseTopicPattern } from '../../../src/broker/lite-topic.ts';
import { SEGMENT_HEAD_BYTES } from '../../../src/broker/log/format/batch-codec.ts';
import type { LogBrokerOptions } from '../../../src/broker/log/open.ts';
import { append, infoOf, major, minor, outcome, QUEUE, readLines, topicName, write } from '../contract/subject.ts';
import { crashCopy, openLog, segmentPath, type OpenedLog } from './opened-log.ts';

const [A, B, C] = [topicName('chat/a'), topicName('chat/b'), topicName('chat/c')];

async function sizeOf(folder: string, segment = 1): Promise<number> {
  return (await stat(segmentPath(folder, segment))).size;
}

async function change(folder: string, segment: number, by: (bytes: Buffer) => Buffer): Promise<void> {
  await writeFile(segmentPath(folder, segment), by(await readFile(segmentPath(folder, segment))));
}

/** Flips one bit of the text, which must be in the segment. */
async function flip(folder: string, text: string, segment = 1): Promise<void> {
  await change(folder, segment, (bytes) => {
    const at = bytes.indexOf(text);
    expect(at).toBeGreaterThan(0);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    return bytes;
  });
}

interface Started extends OpenedLog {
  readonly warnings: string[];
}

async function start(folder: string, options: Partial<LogBrokerOptions> = {}): Promise<Started> {
  const warnings: string[] = [];
  const log = await openLog({ bootId: 'one', folder, onWarning: (text) => warnings.push(text), ...options });
  return { ...log, warnings };
}

/** A log with an append for each text, in the order of the texts: `a1` is the append of `a1` to chat/a. */
async function written(...texts: string[]): Promise<OpenedLog> {
  const log = await openLog({ bootId: 'one' });
  for (const text of texts) await append(log.broker, topicName(`chat/${text.charAt(0)}`), minor(`${text}!`));
  return log;
}

function expectDegraded(broker: BrokerEngine, topics: number, lostParts: number): void {
  expect(broker.health()).toMatchObject({ state: 'degraded', damage: { topics, lostParts } });
}

describe('a start that replays a damaged frame', () => {
  test('declares exactly its records as lost, and says which part of the log it could not read', async () => {
    const { folder, broker } = await written('a0', 'b0', 'a1', 'a2', 'a3', 'b1');
    const [a, b] = [await infoOf(broker, A), await infoOf(broker, B)];
    const copy = await crashCopy(folder);
    await flip(copy, 'a1!');
    const { broker: again, warnings } = await start(copy);
    expect(await readLines(again, A)).toEqual(['0m:a0!', '1-1 lost', '2m:a2!', '3m:a3!']);
    expect(await readLines(again, B)).toEqual(['0m:b0!', '1m:b1!']);
    expectDegraded(again, 1, 1);
    expect(again.damaged?.()).toMatchObject([{ topic: A, records: 1, ranges: [{ from: 1, to: 1, segment: 1 }] }]);
    expect(again.lostParts?.()).toMatchObject([{ segment: 1, what: 'a frame does not match its checksum' }]);
    expect(warnings).toEqual([
      expect.stringMatching(/^the topic chat\/a is damaged: offset 1, segment 1 at byte \d+: a frame does not match/),
      expect.stringMatching(
        /^the log is damaged where this start had to read it \(1 parts; segment 1 at byte \d+, \d+ bytes/,
      ),
    ]);
    expect(await again.read(A, { epoch: a.epoch, offset: 1 })).toMatchObject({ kind: 'reset', reason: 'damaged' });
    // Never one that an earlier declaration may have given: that may be among what was lost.
    expect((await infoOf(again, A)).epoch).toBe(`${a.epoch}_1-1`);
    // A later frame shows that nothing of it is missing.
    expect(await again.read(B, { epoch: b.epoch, offset: 1 })).toMatchObject({ kind: 'batch' });
  });

  test('gives every topic another epoch of which no later frame shows what is missing', async () => {
    const { folder, broker } = await written('c0', 'a0', 'b0', 'b1');
    const [a, c] = [await infoOf(broker, A), await infoOf(broker, C)];
    const copy = await crashCopy(folder);
    await flip(copy, 'b0!');
    const { broker: again, reopen } = await start(copy);
    for (const [topic, { epoch, next }] of [
      [A, a],
      [C, c],
    ] as const) {
      expect(await again.read(topic, { epoch, offset: next })).toMatchObject({
        kind: 'reset',
        reason: 'epoch-changed',
      });
      expect(await outcome(append(again, topic, minor('x'), { expect: { epoch } }))).toBe('epoch-changed');
    }
    expect(await readLines(again, A)).toEqual(['0m:a0!']);
    expect(await readLines(again, B)).toEqual(['0-0 lost', '1m:b1!']);
    const { epoch } = await infoOf(again, A);
    expect((await infoOf(await reopen(), A)).epoch).toBe(epoch);
  });

  test('takes no frame before a second damaged one for a proof', async () => {
    const { folder, broker } = await written('a0', 'b0', 'c0', 'a1', 'b1', 'c1', 'c2');
    const { epoch, next } = await infoOf(broker, A);
    const copy = await crashCopy(folder);
    await flip(copy, 'b0!');
    await flip(copy, 'c1!');
    const { broker: again } = await start(copy);
    expect(await readLines(again, A)).toEqual(['0m:a0!', '1m:a1!']);
    expect(await again.read(A, { epoch, offset: next })).toMatchObject({ kind: 'reset' });
    expectDegraded(again, 2, 2);
  });

  test('keeps the other frames of the batch', async () => {
    const { broker, folder } = await openLog({ bootId: 'one' });
    await Promise.all(['a', 'b', 'c'].map((name) => append(broker, topicName(`chat/${name}`), minor(`${name}0!`))));
    await append(broker, A, minor('a1!'));
    const copy = await crashCopy(folder);
    await flip(copy, 'b0!');
    const { broker: again } = await start(copy);
    expect(await readLines(again, A)).toEqual(['0m:a0!', '1m:a1!']);
    expect(await readLines(again, C)).toEqual(['0m:c0!']);
    expect(await again.describe([B])).toEqual([undefined]);
    expectDegraded(again, 0, 1);
  });

  test('keeps what a last batch of full length still says on the same boot, and reports the rest', async () => {
    const { broker, folder } = await written('a0', 'b0');
    await Promise.all([append(broker, A, minor('a1!')), append(broker, B, minor('b1!'))]);
    const copy = await crashCopy(folder);
    await flip(copy, 'a1!');
    const { broker: again } = await start(copy);
    expect(await readLines(again, A)).toEqual(['0m:a0!']);
    expect(await readLines(again, B)).toEqual(['0m:b0!', '1m:b1!']);
    expectDegraded(again, 0, 1);
    expect((await infoOf(again, A)).epoch).not.toBe((await infoOf(broker, A)).epoch);
  });
});

describe('a frame that was lost', () => {
  test('shows text of a removed topic and of a superseded answer only with a reset', async () => {
    const { broker, folder } = await written('a0', 'b0');
    const [a, b] = [await infoOf(broker, A), await infoOf(broker, B)];
    const from = await sizeOf(folder);
    await append(broker, B, major('answer'), { supersedes: [[0, 0]] });
    await broker.remove(A);
    const to = await sizeOf(folder);
    await append(broker, C, minor('c0!'));
    const copy = await crashCopy(folder);
    await change(copy, 1, (bytes) => bytes.fill(0, from, to));
    const { broker: again } = await start(copy);
    expect(await readLines(again, A)).toEqual(['0m:a0!']);
    expect(await again.read(A, { epoch: a.epoch, offset: 0 })).toMatchObject({ kind: 'reset' });
    expect(await again.read(B, { epoch: b.epoch, offset: 0 })).toMatchObject({ kind: 'reset' });
    expect(await readLines(again, B)).toEqual(['0m:b0!']);
    expect(await readLines(again, C)).toEqual(['0m:c0!']);
  });

  test('leaves one existence of a topic that was removed and made again in it', async () => {
    const { broker, folder } = await written('a0', 'b0');
    const before = await infoOf(broker, A);
    await broker.remove(A);
    await append(broker, A, minor('new 0'));
    const from = await sizeOf(folder);
    await append(broker, A, minor('new 1'));
    const { epoch } = await infoOf(broker, A);
    const removal = await crashCopy(folder);
    await change(removal, 1, (bytes) => bytes.fill(0, bytes.indexOf('b0!') + 3, from));
    const { broker: again } = await start(removal);
    expect(await readLines(again, A)).toEqual(['0-0 lost', '1m:new 1']);
    for (const one of [before.epoch, epoch])
      expect(await again.read(A, { epoch: one, offset: 0 })).toMatchObject({ kind: 'reset' });
    expect((await infoOf(again, A)).bytes).toBe('new 1'.length);
    expect(await again.remove(A)).toBe(true);
    expect(again.health().damage?.topics).toBe(0);
  });

  test('does not let a group take new requests for consumed ones', async () => {
    const { broker, folder } = await openLog({ bootId: 'one' });
    await append(broker, QUEUE, minor('job 0'));
    const from = await sizeOf(folder);
    await append(broker, QUEUE, minor('job 1'));
    const to = await sizeOf(folder);
    await consume(broker, 2);
    const copy = await crashCopy(folder);
    await change(copy, 1, (bytes) => bytes.fill(0, from, to));
    const { broker: again } = await start(copy);
    expect(await readLines(again, QUEUE)).toEqual(['0m:job 0', '1-1 lost']);
    await append(again, QUEUE, minor('job 2'));
    expect(await consume(again, 1)).toEqual(['job 2']);
  });
});

/** Consumes this many requests. */
async function consume(broker: BrokerEngine, count: number): Promise<string[]> {
  const seen: string[] = [];
  const options = { credit: 1, visibilityMs: 1000, signal: new AbortController().signal };
  for await (const delivery of broker.consume('workers', parseTopicPattern('request/*/*'), options)) {
    seen.push(delivery.record.data);
    await delivery.ack();
    if (seen.length === count) break;
  }
  return seen;
}

describe('a log file', () => {
  test('with a damaged head is read all the same', async () => {
    const { folder, broker } = await written('a0', 'a1', 'b0');
    const { epoch } = await infoOf(broker, A);
    for (let at = 0; at < 36; at += 5) {
      const copy = await crashCopy(folder);
      await change(copy, 1, (bytes) => bytes.fill(0xa5, at, 36));
      const { broker: again } = await start(copy);
      expect(await readLines(again, A)).toEqual(['0m:a0!', '1m:a1!']);
      expect(await infoOf(again, A)).toMatchObject({ epoch });
      expect((await append(again, A, minor('a2!'))).first).toBe(2);
      await again.close();
    }
  });

  test('of a clean stop that ends before the checkpoint costs only its records, when they are read', async () => {
    const { broker, folder } = await written('a0', 'b0', 'a1');
    const { epoch } = await infoOf(broker, B);
    await broker.close();
    const copy = await crashCopy(folder);
    await truncate(segmentPath(copy), (await sizeOf(copy)) - 1);
    const { broker: again, reopen } = await start(copy);
    // The checkpoint is in a segment of its own, and not at the end of a file that is shorter.
    expect(await sizeOf(copy, 2)).toBe(SEGMENT_HEAD_BYTES);
    expect(await readLines(again, A)).toEqual(['0m:a0!', '1-1 lost']);
    expect(await infoOf(again, B)).toMatchObject({ epoch });
    const crashed = await start(await crashCopy(copy));
    expect(await readLines(crashed.broker, A)).toEqual(['0m:a0!', '1-1 lost']);
    expect((await append(again, B, minor('b1!'))).first).toBe(1);
    expect(await readLines(await reopen(), B)).toEqual(['0m:b0!', '1m:b1!']);
  });

  test('that is missing in the middle of the replayed part costs its changes', async () => {
    const { broker, folder } = await openLog({ bootId: 'one', limits: { segmentBytes: 1000 } });
    for (let i = 0; i < 6; i++) for (const chat of [A, B]) await append(broker, chat, minor(`${i}`.repeat(400)));
    const copy = await crashCopy(folder);
    await unlink(segmentPath(copy, 2));
    const { broker: again } = await start(copy);
    for (const chat of [A, B]) {
      const lines = await readLines(again, chat);
      expect(lines.filter((line) => line.endsWith('lost'))).toHaveLength(1);
      expect(lines.at(-1)).toBe(`5m:${'5'.repeat(400)}`);
    }
    expect(again.lostParts?.()).toEqual([{ segment: 2, position: 0, bytes: 0, what: 'its file is missing' }]);
    expectDegraded(again, 2, 1);
  });
});

test('a lost part is on the account over restarts until a check of all records, or until its file is gone', async () => {
  const { folder } = await written('a0', 'b0', 'b1');
  const copy = await crashCopy(folder);
  await flip(copy, 'b0!');
  const { broker, reopen } = await start(copy);
  expectDegraded(broker, 1, 1);
  const again = await reopen();
  expectDegraded(again, 1, 1);
  await again.check?.();
  expectDegraded(again, 1, 0);
  const other = await start(await crashCopy(copy));
  await other.broker.close();
  for (const chat of [A, B]) await again.remove(chat);
  expect((await reopen()).health().state).toBe('ready');
});

test('writes of one append are lost and kept together', async () => {
  const { broker, folder } = await openLog({ bootId: 'one' });
  const [one, two] = [topicName('chat/x'), topicName('list/x')];
  await broker.append([write(one, minor('one 0')), write(two, minor('two 0'))]);
  await broker.append([write(one, minor('one 1')), write(two, minor('two 1'))]);
  await broker.append([write(one, minor('one 2')), write(two, minor('two 2'))]);
  const copy = await crashCopy(folder);
  await flip(copy, 'two 1');
  const { broker: again } = await start(copy);
  expect(await readLines(again, one)).toEqual(['0m:one 0', '1-1 lost', '2m:one 2']);
  expect(await readLines(again, two)).toEqual(['0m:two 0', '1-1 lost', '2m:two 2']);
});

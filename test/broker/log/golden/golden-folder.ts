// A history, and the data folders of it that the repository keeps: one for each format of the log, written by a build
// of that format and copied as a crash would leave it.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { BrokerEngine, Delivery } from '../../../../src/broker/broker.ts';
import { parseTopicPattern } from '../../../../src/broker/lite-topic.ts';
import { append, CHAT, major, minor, QUEUE, readLines, topicName, write } from '../../contract/subject.ts';

const GONE = topicName('chat/gone');
const LIST = topicName('list/one');
const FILES = [join('index', 'data.mdb'), join('log', '0000000000000001.seg')];

/** What a checkpoint holds of the history. */
export async function writeBeforeCheckpoint(broker: BrokerEngine): Promise<void> {
  const { epoch, first } = await append(broker, CHAT, major('ask'), { takeFence: true, ttlMs: 1_000_000 });
  const fenced = { expect: { epoch }, fence: { fence: first, seq: 1 } };
  await append(broker, CHAT, minor('a', 'b', 'grüße'), fenced);
  await append(broker, GONE, minor('x'));
  await append(broker, QUEUE, [...minor('job 1'), ...minor('job 2')], { priority: 'high' });
}

/** What a start replays of it. */
export async function writeAfterCheckpoint(broker: BrokerEngine): Promise<void> {
  await append(broker, CHAT, major('ab grüße'), { supersedes: [[1, 3]] });
  await broker.append([write(CHAT, minor('next')), write(LIST, major('one'))]);
  await broker.remove(GONE);
  await consumeOne(broker, (delivery) => delivery.ack());
}

async function consumeOne(broker: BrokerEngine, then: (delivery: Delivery) => Promise<unknown>): Promise<void> {
  const pattern = parseTopicPattern('request/*/*');
  const options = { credit: 1, visibilityMs: 1000, signal: new AbortController().signal };
  for await (const delivery of broker.consume('workers', pattern, options)) {
    await then(delivery);
    break;
  }
}

/** What the group has still to consume. */
async function deliveredData(broker: BrokerEngine): Promise<string> {
  let data = '';
  await consumeOne(broker, async (delivery) => {
    data = delivery.record.data;
    await delivery.nack(0);
  });
  return data;
}

/** Without epochs: they are random. */
export async function readHistory(broker: BrokerEngine): Promise<unknown> {
  const { kind, ...gone } = await broker.read(GONE, 'earliest');
  return {
    chat: await readLines(broker, CHAT),
    list: await readLines(broker, LIST),
    queue: await readLines(broker, QUEUE),
    gone: [kind, 'reason' in gone ? gone.reason : undefined],
    described: (await broker.describe([CHAT, QUEUE])).map((info) => ({ ...info, epoch: '' })),
    delivered: await deliveredData(broker),
  };
}

/** Makes the data folder that was kept for the format. */
export async function restoreGolden(format: number, folder: string): Promise<void> {
  const text = await readFile(join(import.meta.dirname, `format-${format}.json`), 'utf8');
  const kept = JSON.parse(text) as Readonly<Record<string, string>>;
  for (const name of FILES) {
    await mkdir(join(folder, name, '..'), { recursive: true });
    await writeFile(join(folder, name), gunzipSync(Buffer.from(kept[name] ?? '', 'base64')));
  }
}

// `holdline topics`: an operator's view of LiteTopics. Uses the running server; opens the storage itself only where no
// server runs.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { LogItem, TopicInfo } from '../broker/broker.ts';
import { listDeadLetters } from '../broker/dead-letters.ts';
import { parseLiteTopicName, parseTopicPattern, type LiteTopicName } from '../broker/lite-topic.ts';
import { encodePosition, parsePosition } from '../broker/position.ts';
import { connectAdmin } from './admin/admin-client.ts';
import { engineStore } from './admin/engine-store.ts';
import type { TopicStore } from './admin/admin-protocol.ts';
import type { BrokerConfig } from './config/broker-config.ts';
import { UsageError } from './config/environment.ts';

const LIST_LIMIT = 1000;

export interface Output {
  line(text: string): void;
  /** A line for a person beside the output, which a script that reads the output does not see. */
  note(text: string): void;
}

/** Runs one command against the storage that the configuration names. `isRunning`: a server runs on it and answers. */
export async function withTopics<T>(
  config: BrokerConfig,
  use: (store: TopicStore, isRunning: boolean) => Promise<T>,
): Promise<T> {
  if (config.engine === 'memory')
    throw new UsageError('topics in memory live and die with their server: there is nothing to look at from here');
  const running = config.engine === 'log' ? await findServer(config.folder) : undefined;
  if (running !== undefined) return use(running, true);
  // Both engines and their libraries: not needed where a server answers.
  const { openStorage } = await import('./open-storage.ts');
  const broker = await openStorage(config, { onFatal: fail, onError: () => undefined });
  try {
    return await use(engineStore(broker), false);
  } finally {
    await broker.close();
  }
}

/** The server that holds the folder. No server holds a Redis: every client may read it. */
async function findServer(folder: string): Promise<TopicStore | undefined> {
  if (!existsSync(folder)) throw new UsageError(`there is no data folder at ${folder}`);
  const running = await connectAdmin(folder);
  // Opening the folder would create a log in it.
  if (running === undefined && !existsSync(join(folder, 'log')))
    throw new UsageError(`${folder} is no data folder of holdline: there is no log in it`);
  return running;
}

/** Nothing is left half done: what the storage took before it failed is durable. */
function fail(error: Error): never {
  throw error;
}

export async function listTopics(store: TopicStore, pattern: string, output: Output): Promise<void> {
  const parsed = parseTopicPattern(pattern);
  let count = 0;
  let after: LiteTopicName | undefined;
  do {
    const page = await store.list(parsed, { limit: LIST_LIMIT, ...(after === undefined ? {} : { after }) });
    for (const info of page.topics) output.line(topicLine(info));
    count += page.topics.length;
    after = page.after;
  } while (after !== undefined);
  if (count === 0) output.note(`no topic matches ${pattern}`);
}

function topicLine(info: TopicInfo): string {
  const expires = info.expiresAt === undefined ? 'never' : new Date(info.expiresAt).toISOString();
  return [info.topic, `${info.epoch}.${info.next}`, `${info.bytes} B`, `expires ${expires}`].join('\t');
}

export async function showTopic(store: TopicStore, name: string, output: Output): Promise<void> {
  const info = await mustDescribe(store, parseLiteTopicName(name));
  output.line(
    JSON.stringify(
      { ...info, expiresAt: info.expiresAt === undefined ? null : new Date(info.expiresAt).toISOString() },
      null,
      2,
    ),
  );
}

/** Prints the records after a position, or all of them, and follows the topic until the signal aborts. */
export async function tailTopic(
  store: TopicStore,
  name: string,
  after: string | undefined,
  follow: boolean,
  output: Output,
  signal: AbortSignal,
): Promise<void> {
  const topic = parseLiteTopicName(name);
  const info = await mustDescribe(store, topic);
  let from = startAfter(info, after);
  for (;;) {
    const result = await store.read(topic, from);
    if (result.kind !== 'batch') {
      output.line(JSON.stringify(result));
      return;
    }
    for (const item of result.items) output.line(itemLine(result.epoch, item));
    from = { epoch: result.epoch, offset: result.next };
    if (result.end) break;
  }
  if (!follow) return;
  for await (const result of store.tail(topic, from, { signal })) {
    if (result.kind !== 'batch') {
      output.line(JSON.stringify(result));
      return;
    }
    for (const item of result.items) output.line(itemLine(result.epoch, item));
  }
}

function startAfter(info: TopicInfo, after: string | undefined): { epoch: string; offset: number } {
  if (after === undefined) return { epoch: info.epoch, offset: info.earliest };
  const position = parsePosition(after);
  if (position === undefined) throw new UsageError(`not a position: ${after}`);
  return { epoch: position.epoch, offset: position.offset + 1 };
}

function itemLine(epoch: string, item: LogItem): string {
  if (item.kind === 'lost') return `${encodePosition({ epoch, offset: item.from })}…${item.to}\tlost`;
  if (item.kind === 'hole')
    return `${encodePosition({ epoch, offset: item.from })}…${item.to}\tsuperseded by ${item.by}`;
  return `${encodePosition({ epoch, offset: item.offset })}\t${item.data.replaceAll('\n', '\t')}`;
}

export async function removeTopic(store: TopicStore, name: string, output: Output): Promise<void> {
  const topic = parseLiteTopicName(name);
  if (!(await store.remove(topic))) throw new UsageError(`there is no topic ${name}`);
  output.line(`removed ${name}`);
}

/** Prints the dead letters of one group, or of all, without their records. */
export async function listLetters(store: TopicStore, group: string, output: Output): Promise<void> {
  let count = 0;
  let after: LiteTopicName | undefined;
  do {
    const page = await listDeadLetters(store, { group, limit: LIST_LIMIT, ...(after === undefined ? {} : { after }) });
    for (const { name, topic, epoch, offset, reason, attempts, at } of page.letters) {
      const from = `${topic} ${encodePosition({ epoch, offset })}`;
      output.line([name, from, reason, `${attempts} attempts`, new Date(at).toISOString()].join('\t'));
    }
    count += page.letters.length;
    after = page.after;
  } while (after !== undefined);
  if (count === 0) output.note(`there are no dead letters${group === '*' ? '' : ` of ${group}`}`);
}

export async function releaseLetter(store: TopicStore, name: string, output: Output): Promise<void> {
  if (!(await store.release(parseLiteTopicName(name))))
    throw new UsageError(`there is no dead letter ${name}, or it was released before`);
  output.line(`released ${name}`);
}

async function mustDescribe(store: TopicStore, topic: LiteTopicName): Promise<TopicInfo> {
  const [info] = await store.describe([topic]);
  if (info === undefined) throw new UsageError(`there is no topic ${topic}`);
  return info;
}

// The broker under test, and the helpers that all parts of the contract share.
import { onTestFinished } from 'vitest';
import type {
  Appended,
  Broker,
  BrokerEngine,
  LogItem,
  NewRecord,
  ReadFrom,
  ReadOptions,
  ReadResult,
  TopicInfo,
  TopicWrite,
} from '../../../src/broker/broker.ts';
import { isBrokerError } from '../../../src/broker/errors.ts';
import { parseLiteTopicName } from '../../../src/broker/lite-topic.ts';
import type { LiteTopicName } from '../../../src/broker/lite-topic.ts';
import { Collector } from '../../support/wait-for.ts';
import type { ManualClock } from '../../support/manual-clock.ts';

export interface Subject {
  readonly broker: BrokerEngine;
  /** The clock that the engine was given. */
  readonly clock: ManualClock;
  /** Closes the engine if it is open, and opens another on the same storage with the same clock. */
  readonly reopen?: () => Promise<BrokerEngine>;
  /** Called after the test, when every engine is closed. */
  readonly dispose?: () => Promise<void>;
}

/** A new engine on new storage. */
export type SubjectFactory = () => Subject | Promise<Subject>;
export type OpenSubject = () => Promise<Required<Pick<Subject, 'broker' | 'clock' | 'reopen'>>>;

/** Opens an engine within a test, and closes everything after it. */
export function opener(factory: SubjectFactory): OpenSubject {
  return async () => {
    const subject = await factory();
    const engines = [subject.broker];
    onTestFinished(async () => {
      for (const engine of engines) await engine.close();
      await subject.dispose?.();
    });
    const reopen = async (): Promise<BrokerEngine> => {
      if (subject.reopen === undefined) throw new Error('this engine does not survive a close');
      const engine = await subject.reopen();
      engines.push(engine);
      return engine;
    };
    return { broker: subject.broker, clock: subject.clock, reopen };
  };
}

export const CHAT = parseLiteTopicName('chat/one');
export const QUEUE = parseLiteTopicName('request/agent/one');

export function topicName(text: string): LiteTopicName {
  return parseLiteTopicName(text);
}

export function minor(...data: readonly string[]): NewRecord[] {
  return data.map((text) => ({ major: false, data: text }));
}

export function major(...data: readonly string[]): NewRecord[] {
  return data.map((text) => ({ major: true, data: text }));
}

type Rest = Partial<Omit<TopicWrite, 'topic' | 'records'>>;

export function write(topic: LiteTopicName, records: readonly NewRecord[], rest: Rest = {}): TopicWrite {
  return { topic, records, expect: { create: true }, ...rest };
}

export async function append(
  broker: Broker,
  topic: LiteTopicName,
  records: readonly NewRecord[],
  rest: Rest = {},
): Promise<Appended> {
  const [appended] = await broker.append([write(topic, records, rest)]);
  if (appended === undefined) throw new Error('an append without an answer');
  return appended;
}

/** The code of a promise's rejection, or 'accepted'. */
export async function outcome(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return 'accepted';
  } catch (error) {
    if (isBrokerError(error)) return error.code;
    throw error;
  }
}

export async function infoOf(broker: Broker, topic: LiteTopicName): Promise<TopicInfo> {
  const [info] = await broker.describe([topic]);
  if (info === undefined) throw new Error(`${topic} is missing`);
  return info;
}

export async function isMissing(broker: Broker, topic: LiteTopicName): Promise<boolean> {
  return (await broker.describe([topic]))[0] === undefined;
}

/** One line for each record or hole: `3m:text`, `4M:text`, `5-9>12`. Adjacent holes of one write are one hole. */
export function lines(items: readonly LogItem[]): string[] {
  const merged: LogItem[] = [];
  for (const item of items) {
    const last = merged.at(-1);
    const touch =
      item.kind === 'hole' &&
      last?.kind === 'hole' &&
      last.by === item.by &&
      (last.to + 1 === item.from || item.to + 1 === last.from);
    if (touch)
      merged[merged.length - 1] = { ...item, from: Math.min(last.from, item.from), to: Math.max(last.to, item.to) };
    else merged.push(item);
  }
  return merged.map((item) => {
    if (item.kind === 'record') return `${item.offset}${item.major ? 'M' : 'm'}:${item.data}`;
    return item.kind === 'lost' ? `${item.from}-${item.to} lost` : `${item.from}-${item.to}>${item.by}`;
  });
}

/** Reads page by page until the end, and checks that the pages join: no offset twice, and none missing. */
export async function readItems(
  broker: Broker,
  topic: LiteTopicName,
  from: ReadFrom = 'earliest',
  options: ReadOptions = {},
): Promise<LogItem[]> {
  const items: LogItem[] = [];
  for (let at = from; ;) {
    const page = batchOf(await broker.read(topic, at, options));
    if (page.items.length === 0 && !page.end) throw new Error('an empty page that is not the last');
    if (typeof at === 'object' && page.next === at.offset && !page.end)
      throw new Error(`a page that leads back to where it began: ${page.next}`);
    items.push(...page.items);
    if (page.end) break;
    at = { epoch: page.epoch, offset: page.next };
  }
  if (options.majorOnly !== true) assertJoined(items, options.direction ?? 'forward');
  return items;
}

export async function readLines(
  broker: Broker,
  topic: LiteTopicName,
  from: ReadFrom = 'earliest',
  options: ReadOptions = {},
): Promise<string[]> {
  return lines(await readItems(broker, topic, from, options));
}

export function batchOf(result: ReadResult): Extract<ReadResult, { kind: 'batch' }> {
  if (result.kind !== 'batch') throw new Error(`a batch was expected: ${JSON.stringify(result)}`);
  return result;
}

export async function nextOf<T>(iterator: AsyncIterator<T, unknown>): Promise<T> {
  const result = await iterator.next();
  if (result.done === true) throw new Error('the iterable ended');
  return result.value;
}

export function assertJoined(items: readonly LogItem[], direction: 'forward' | 'backward'): void {
  let expected: number | undefined;
  for (const item of items) {
    const [low, high] = item.kind === 'record' ? [item.offset, item.offset] : [item.from, item.to];
    const [near, far] = direction === 'forward' ? [low, high + 1] : [high, low - 1];
    if (low > high || (expected !== undefined && near !== expected))
      throw new Error(`offset ${expected} was expected: ${JSON.stringify(item)}`);
    expected = far;
  }
}

/** A tail that collects what it yields; it ends with the test at the latest. */
export class CollectedTail extends Collector<ReadResult> {
  readonly #abort: AbortController;

  constructor(
    broker: Broker,
    topic: LiteTopicName,
    from: { readonly epoch: string; readonly offset: number },
    options: { readonly majorOnly?: boolean } = {},
  ) {
    const abort = new AbortController();
    super(broker.tail(topic, from, { signal: abort.signal, ...options }));
    this.#abort = abort;
    onTestFinished(() => abort.abort());
  }

  get items(): LogItem[] {
    return this.seen.flatMap((result) => (result.kind === 'batch' ? result.items : []));
  }

  get lines(): string[] {
    return lines(this.items);
  }

  abort(): void {
    this.#abort.abort();
  }

  /** Everything below this offset has been yielded. */
  async reached(next: number): Promise<string[]> {
    await this.until((seen) => seen.some((result) => result.kind === 'batch' && result.next >= next));
    return this.lines;
  }

  /** The reset or `missing` with which it ended, if any. */
  async verdict(): Promise<ReadResult | undefined> {
    const last = (await this.ended()).at(-1);
    return last?.kind === 'batch' ? undefined : last;
  }
}

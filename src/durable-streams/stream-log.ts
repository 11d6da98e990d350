// Durable streams over the broker: one topic for each stream. Every change is one append, conditional on the newest
// record, so all nodes decide by the same rules and no node holds a lock. Owns a bounded cache of states; a stale entry
// costs one conflict and never a wrong decision.
import type { Clock } from '../base/clock.ts';
import { OneByOne } from '../base/one-by-one.ts';
import type { StopSignal } from '../base/stop-signal.ts';
import { TTL_MS_MAX, TTL_MS_MIN, type Broker, type Tail, type TopicInfo, type TopicWrite } from '../broker/broker.ts';
import { BrokerError, isBrokerError } from '../broker/errors.ts';
import type { LiteTopicName } from '../broker/lite-topic.ts';
import type { Quota } from '../broker/quota.ts';
import {
  decodeRecord,
  encodeAppend,
  encodeConfig,
  type LoadedStream,
  type StreamConfig,
  type StreamRecord,
} from './stream-records.ts';
import { readChunk, type StreamChunk } from './stream-reads.ts';
import type { StreamState } from './stream-rules.ts';

/** States kept per node; each is a few kilobytes at most. */
export const STREAM_CACHE_MAX = 4096;
/** Tries of one change. Changes of one node on one stream run one after another, so only other nodes conflict. */
const ATTEMPTS_MAX = 64;
/** Tries of one load. Each of them found that the stream had changed between two reads. */
const LOADS_MAX = 16;
/** A read restarts the time to live only when this part of it has passed, so that reads seldom write. */
const TOUCH_PART = 0.1;

/** What a decision appends. `answer` is given to the caller once that is durable. */
export interface StreamChange<T> {
  /** Empty: the stream is closed, and gets no data. */
  readonly data: Buffer;
  readonly after: StreamState;
  readonly answer: (after: LoadedStream) => T;
}

export type StreamDecision<T> = StreamChange<T> | { readonly unchanged: T };

export interface StreamLogDeps {
  readonly broker: Broker;
  readonly clock: Clock;
  /** The quota of a topic's account; undefined for none. */
  readonly quotaOf: (topic: LiteTopicName) => Quota | undefined;
}

export class StreamLog {
  readonly #deps: StreamLogDeps;
  readonly #cache = new Map<LiteTopicName, LoadedStream>();
  readonly #changes = new OneByOne<LiteTopicName>();

  constructor(deps: StreamLogDeps) {
    this.#deps = deps;
  }

  /** Undefined where there is no such stream. @throws BrokerError */
  async load(topic: LiteTopicName): Promise<LoadedStream | undefined> {
    return (await this.#look(topic))?.loaded;
  }

  /** The same for a reader: a stream whose time to live slides lives on. @throws BrokerError */
  async loadToRead(topic: LiteTopicName): Promise<LoadedStream | undefined> {
    const found = await this.#look(topic);
    if (found !== undefined) await this.#touch(found.loaded, found.info);
    return found?.loaded;
  }

  /** Makes the stream. Undefined: another request has made one with this name. @throws BrokerError */
  async create(
    topic: LiteTopicName,
    config: StreamConfig,
    state: StreamState,
    data: Buffer,
  ): Promise<LoadedStream | undefined> {
    const records =
      data.length === 0 ? [encodeConfig(config, state)] : [encodeConfig(config, {}), ...encodeAppend(data, state)];
    const write: TopicWrite = {
      topic,
      records,
      expect: { absent: true },
      ...this.lifeOf(config),
      ...this.quotaField(topic),
    };
    const appended = await this.#append(write);
    if (appended === undefined) return undefined;
    return this.#remember(loadedAt(topic, appended.epoch, config, state, appended.next - 1, false));
  }

  /** Decides on the newest state and appends. `decide` may run several times, and may throw a refusal. Undefined where
   *  there is no such stream. @throws BrokerError; what `decide` throws */
  async change<T>(topic: LiteTopicName, decide: (stream: LoadedStream) => StreamDecision<T>): Promise<T | undefined> {
    return this.#changes.run(topic, async (isFirst) => {
      for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
        const cached = attempt === 1 && isFirst ? this.#cached(topic) : undefined;
        const stream = cached ?? (await this.load(topic));
        if (stream === undefined) return undefined;
        const done = await this.#attempt(stream, decide);
        if (done !== 'conflict') return done.answer;
        this.#cache.delete(topic);
      }
      throw new BrokerError('overloaded', `${topic} is changing too fast`);
    });
  }

  /** The next chunk behind a token. `gone`: the stream was removed or made again. `inside`: the token points into an
   *  append. @throws BrokerError */
  read(stream: LoadedStream, count: number): Promise<StreamChunk | 'gone' | 'inside'> {
    return readChunk(this.#deps.broker, stream, count);
  }

  /** The append behind a token. Undefined: there is none. @throws BrokerError */
  async readAppend(stream: LoadedStream, count: number): Promise<Buffer | undefined> {
    const chunk = await this.read(stream, count);
    return typeof chunk === 'string' ? undefined : chunk.appends[0];
  }

  /** What follows a token, and then what is appended. */
  tail({ topic, epoch }: LoadedStream, count: number, signal: StopSignal): Tail {
    return this.#deps.broker.tail(topic, { epoch, offset: count + 1 }, { signal });
  }

  /** Keeps a stream with a short time to live while a reader waits for more of it, until the signal aborts. */
  keep({ topic, config: { ttl } }: LoadedStream, signal: StopSignal): void {
    if (ttl === undefined) return;
    const timer = this.#deps.clock.after(slidingTtl(ttl) / 2, () => {
      signal.removeEventListener('abort', cancel);
      if (signal.aborted) return;
      this.loadToRead(topic).then(
        (stream) => stream && this.keep(stream, signal),
        // The reader meets the same error itself.
        () => undefined,
      );
    });
    const cancel = (): void => timer.cancel();
    signal.addEventListener('abort', cancel, { once: true });
  }

  /** False if there was no such stream. @throws BrokerError */
  async remove(topic: LiteTopicName): Promise<boolean> {
    this.#cache.delete(topic);
    return this.#deps.broker.remove(topic);
  }

  /** What the write that makes the stream says of its life. A stream without a time stays until it is removed. */
  lifeOf({ ttl, expiresAt }: StreamConfig): Pick<TopicWrite, 'ttlMs' | 'ttlMode'> {
    if (ttl !== undefined) return { ttlMs: slidingTtl(ttl), ttlMode: 'idle' };
    if (expiresAt === undefined) return {};
    return { ttlMs: boundedTtl(expiresAt - this.#deps.clock.now()), ttlMode: 'absolute' };
  }

  quotaField(topic: LiteTopicName): Pick<TopicWrite, 'quota'> {
    const quota = this.#deps.quotaOf(topic);
    return quota === undefined ? {} : { quota };
  }

  /** A refusal and an answer without an append also depend on the state, and a cached state may be stale: they hold
   *  only if the state is the newest. */
  async #attempt<T>(
    stream: LoadedStream,
    decide: (stream: LoadedStream) => StreamDecision<T>,
  ): Promise<{ readonly answer: T } | 'conflict'> {
    let decision: StreamDecision<T>;
    try {
      decision = decide(stream);
    } catch (error) {
      if (await this.#isCurrent(stream)) throw error;
      return 'conflict';
    }
    if ('unchanged' in decision) return (await this.#isCurrent(stream)) ? { answer: decision.unchanged } : 'conflict';
    const after = await this.#apply(stream, decision);
    return after === undefined ? 'conflict' : { answer: decision.answer(after) };
  }

  async #look(topic: LiteTopicName): Promise<{ loaded: LoadedStream; info: TopicInfo } | undefined> {
    for (let attempt = 1; attempt <= LOADS_MAX; attempt += 1) {
      const [info] = await this.#deps.broker.describe([topic]);
      if (info === undefined || info.next === 0) {
        this.#cache.delete(topic);
        return undefined;
      }
      const loaded = await this.#loadAs(info);
      if (loaded === 'copying') return undefined;
      if (loaded !== 'changed') return this.#hasExpired(loaded) ? undefined : { loaded, info };
    }
    throw new BrokerError('overloaded', `${topic} is changing too fast`);
  }

  /** The engine ends the topic by its own time, which may lag behind. */
  #hasExpired({ config: { expiresAt } }: LoadedStream): boolean {
    return expiresAt !== undefined && expiresAt <= this.#deps.clock.now();
  }

  #cached(topic: LiteTopicName): LoadedStream | undefined {
    const cached = this.#cache.get(topic);
    return cached === undefined || this.#hasExpired(cached) ? undefined : cached;
  }

  async #loadAs({ topic, epoch, next }: TopicInfo): Promise<LoadedStream | 'changed' | 'copying'> {
    const at = next - 1;
    const cached = this.#cache.get(topic);
    if (cached?.epoch === epoch && cached.at === at) return cached;
    const newest = await this.#readRecord(topic, epoch, at);
    if (newest === undefined) return 'changed';
    if (newest.isCopying) return 'copying';
    const config = cached?.epoch === epoch ? cached.config : (await this.#readFirst(topic, epoch, newest))?.config;
    if (config === undefined) return 'changed';
    return this.#remember(loadedAt(topic, epoch, config, newest.state, at, newest.isEmpty));
  }

  async #readFirst(topic: LiteTopicName, epoch: string, newest: StreamRecord): Promise<StreamRecord | undefined> {
    if (newest.config !== undefined) return newest;
    const first = await this.#readRecord(topic, epoch, 0);
    if (first !== undefined && first.config === undefined)
      throw new BrokerError('corrupt', `the first record of ${topic} says not what the stream is`);
    return first;
  }

  /** Undefined if the topic is in another epoch by now. @throws BrokerError corrupt */
  async #readRecord(topic: LiteTopicName, epoch: string, offset: number): Promise<StreamRecord | undefined> {
    const result = await this.#deps.broker.read(topic, { epoch, offset }, { direction: 'backward', maxRecords: 1 });
    if (result.kind !== 'batch') return undefined;
    const [item] = result.items;
    if (item?.kind !== 'record') throw new BrokerError('corrupt', `record ${offset} of ${topic} is lost`);
    return decodeRecord(item.data);
  }

  /** Undefined where the condition failed. */
  async #apply(
    { topic, epoch, config, at }: LoadedStream,
    { data, after }: StreamChange<unknown>,
  ): Promise<LoadedStream | undefined> {
    const { ttl } = config;
    const isEmpty = data.length === 0;
    const appended = await this.#append({
      topic,
      records: encodeAppend(data, after),
      expect: { epoch },
      ifUnchanged: { epoch, offset: at },
      ...(ttl === undefined ? {} : { ttlMs: slidingTtl(ttl), ttlMode: 'idle' as const }),
      // A close frees room in the end, and nothing else could end the stream for its readers on a full disk.
      ...(isEmpty ? { mayUseReserve: true as const } : this.quotaField(topic)),
    });
    if (appended === undefined) return undefined;
    return this.#remember(loadedAt(topic, epoch, config, after, appended.next - 1, isEmpty));
  }

  async #append(write: TopicWrite): Promise<{ readonly epoch: string; readonly next: number } | undefined> {
    try {
      const [appended] = await this.#deps.broker.append([write]);
      return appended;
    } catch (error) {
      if (isBrokerError(error, 'conflict') || isBrokerError(error, 'epoch-changed')) return undefined;
      throw error;
    }
  }

  /** As durable as an append: otherwise a retry could be answered with a write that a crash takes back. */
  async #isCurrent({ topic, epoch, at }: LoadedStream): Promise<boolean> {
    const [info] = await this.#deps.broker.describe([topic], { isDurable: true });
    return info?.epoch === epoch && info.next === at + 1;
  }

  /** A stream that cannot be written now can still be read, so an error does not fail the read. */
  async #touch({ topic, epoch, config: { ttl } }: LoadedStream, { expiresAt }: TopicInfo): Promise<void> {
    if (ttl === undefined || expiresAt === undefined) return;
    const ttlMs = slidingTtl(ttl);
    if (expiresAt - this.#deps.clock.now() > ttlMs * (1 - TOUCH_PART)) return;
    try {
      await this.#deps.broker.append([{ topic, records: [], expect: { epoch }, ttlMs, ttlMode: 'idle' }]);
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error;
    }
  }

  #remember(loaded: LoadedStream): LoadedStream {
    this.#cache.delete(loaded.topic);
    this.#cache.set(loaded.topic, loaded);
    if (this.#cache.size > STREAM_CACHE_MAX) {
      for (const oldest of this.#cache.keys()) {
        this.#cache.delete(oldest);
        break;
      }
    }
    return loaded;
  }
}

function loadedAt(
  topic: LiteTopicName,
  epoch: string,
  config: StreamConfig,
  state: StreamState,
  at: number,
  isEmpty: boolean,
): LoadedStream {
  // A record without data closes the stream. It is not counted, so the end of the stream keeps its token.
  return { topic, epoch, config, state, at, tail: isEmpty ? at - 1 : at };
}

function slidingTtl(seconds: number): number {
  return boundedTtl(seconds * 1000);
}

/** A stream may be meant to end later than a topic can, as in the year 9999. */
export function boundedTtl(ttlMs: number): number {
  return Math.min(Math.max(TTL_MS_MIN, ttlMs), TTL_MS_MAX);
}

// Makes a fork: a stream that begins with a copy of another one. The records keep their offsets, so tokens of the
// source are tokens of the fork up to the fork's place. A large copy takes several appends; until the last one the fork
// is not visible, and a fork that is never completed expires.
import type { Clock } from '../base/clock.ts';
import { TTL_MS_MAX, type Broker, type NewRecord, type TopicWrite } from '../broker/broker.ts';
import { BrokerError, isBrokerError } from '../broker/errors.ts';
import type { LiteTopicName } from '../broker/lite-topic.ts';
import { splitList } from './json-messages.ts';
import { boundedTtl, type StreamLog } from './stream-log.ts';
import {
  copyRecord,
  encodeAppend,
  encodeConfig,
  isContinued,
  markCopying,
  type ForkOrigin,
  type LoadedStream,
  type StreamConfig,
} from './stream-records.ts';
import { firstOffset } from './stream-reads.ts';
import { isJsonType, type StreamState } from './stream-rules.ts';

/** What a fork copies at most: records, and bytes of them. */
export const FORK_RECORDS_MAX = 65_536;
export const FORK_BYTES_MAX = 64 * 1024 * 1024;
/** One append of a copy. */
const BATCH_RECORDS = 1_000;
const BATCH_BYTES = 4 * 1024 * 1024;
/** A fork whose copy was interrupted is gone after this. */
const COPY_TTL_MS = 60_000;
/** Epochs whose tokens a fork honours: those of its source, of the source's source, and so on. */
export const INHERITED_EPOCHS_MAX = 16;

export interface ForkRequest {
  readonly topic: LiteTopicName;
  readonly config: StreamConfig;
  /** The fork has the records of the source up to this count. */
  readonly count: number;
  /** Appended behind them: the beginning of the source's next append, and what the request brings. */
  readonly appends: readonly Buffer[];
  readonly state: StreamState;
}

/** `exists`: another stream has the name. `inside`: the place is inside an append of the source. `gone`: the source was
 *  removed meanwhile. `too-large`: the source has more than a fork copies. */
export type ForkFailure = 'exists' | 'inside' | 'gone' | 'too-large';

export class ForkCopy {
  readonly #broker: Broker;
  readonly #clock: Clock;
  readonly #log: StreamLog;
  readonly #source: LoadedStream;
  readonly #request: ForkRequest;
  #batch: NewRecord[] = [];
  #batchBytes = 0;
  #bytes = 0;
  /** Undefined until the first append. */
  #at: { readonly epoch: string; readonly next: number; readonly madeAt: number } | undefined;

  constructor(broker: Broker, clock: Clock, log: StreamLog, source: LoadedStream, request: ForkRequest) {
    this.#broker = broker;
    this.#clock = clock;
    this.#log = log;
    this.#source = source;
    this.#request = request;
  }

  /** @throws BrokerError */
  async run(): Promise<ForkFailure | undefined> {
    if (this.#request.count > FORK_RECORDS_MAX) return 'too-large';
    try {
      const failure = (await this.#copy()) ?? (await this.#complete());
      // A stream that exists is not this copy.
      if (failure !== undefined && failure !== 'exists') await this.#undo();
      return failure;
    } catch (error) {
      // A storage that is away may have the last append: then the fork is complete, and a retry finds it.
      if (!isBrokerError(error, 'unavailable')) await this.#undo();
      throw error;
    }
  }

  async #copy(): Promise<ForkFailure | undefined> {
    const { count, config, state, appends } = this.#request;
    const isAll = count === 0 && appends.length === 0;
    this.#add(encodeConfig(config, isAll ? state : {}));
    const { topic, epoch } = this.#source;
    let isInside = false;
    for (let offset = 1; offset <= count;) {
      const result = await this.#broker.read(topic, { epoch, offset }, { maxBytes: BATCH_BYTES });
      if (result.kind !== 'batch') return 'gone';
      for (const item of result.items) {
        if (firstOffset(item) > count) break;
        if (item.kind !== 'record') throw new BrokerError('corrupt', `records of ${topic} are lost`);
        isInside = isContinued(item.data);
        this.#add(copyRecord(item.data));
        if (this.#bytes > FORK_BYTES_MAX) return 'too-large';
        if (this.#isFull() && !(await this.#flush())) return 'exists';
      }
      offset = result.next;
    }
    return isInside ? 'inside' : undefined;
  }

  async #complete(): Promise<ForkFailure | undefined> {
    const { appends, state, count } = this.#request;
    // A fork that begins closed and gets no data of its own needs a record that says so.
    const own = appends.length === 0 && count > 0 && state.closed === true ? [Buffer.alloc(0)] : appends;
    const records = own.flatMap((data, i) => encodeAppend(data, i === own.length - 1 ? state : {}));
    for (const one of records) {
      if (this.#isFull() && !(await this.#flush())) return 'exists';
      this.#add(one);
    }
    return (await this.#append(this.#batch, this.#lifeAtEnd())) ? undefined : 'exists';
  }

  #add(record: NewRecord): void {
    this.#batch.push(record);
    this.#batchBytes += record.data.length;
    this.#bytes += record.data.length;
  }

  #isFull(): boolean {
    return this.#batch.length >= BATCH_RECORDS || this.#batchBytes >= BATCH_BYTES;
  }

  /** Appends all but the last record, so that there is one for the append that completes the fork. */
  async #flush(): Promise<boolean> {
    const last = this.#batch.pop();
    const newest = this.#batch.pop();
    if (last === undefined || newest === undefined) throw new Error('a batch is full with two records at least');
    this.#batch.push(markCopying(newest));
    const isDone = await this.#append(this.#batch, { ttlMs: COPY_TTL_MS, ttlMode: 'idle' });
    this.#batch = [last];
    this.#batchBytes = last.data.length;
    return isDone;
  }

  /** False where another request has made the stream, or has removed this one. */
  async #append(records: readonly NewRecord[], life: Pick<TopicWrite, 'ttlMs' | 'ttlMode'>): Promise<boolean> {
    const { topic } = this.#request;
    const at = this.#at;
    const expect =
      at === undefined
        ? { expect: { absent: true as const } }
        : { expect: { epoch: at.epoch }, ifUnchanged: { epoch: at.epoch, offset: at.next - 1 } };
    try {
      const [done] = await this.#broker.append([
        { topic, records, ...expect, ...life, ...this.#log.quotaField(topic) },
      ]);
      if (done === undefined) throw new Error('an append of one write has one answer');
      this.#at = { epoch: done.epoch, next: done.next, madeAt: at?.madeAt ?? this.#clock.now() };
      return true;
    } catch (error) {
      if (!isBrokerError(error, 'conflict') && !isBrokerError(error, 'epoch-changed')) throw error;
      return false;
    }
  }

  /** The life of the fork. After a copy in several appends it replaces the short life of an incomplete one. */
  #lifeAtEnd(): Pick<TopicWrite, 'ttlMs' | 'ttlMode'> {
    const { config } = this.#request;
    const at = this.#at;
    if (at === undefined || config.ttl !== undefined) return this.#log.lifeOf(config);
    if (config.expiresAt === undefined) return { ttlMs: TTL_MS_MAX, ttlMode: 'idle' };
    return { ttlMs: boundedTtl(Math.max(COPY_TTL_MS, config.expiresAt - at.madeAt)), ttlMode: 'absolute' };
  }

  async #undo(): Promise<void> {
    if (this.#at !== undefined) await this.#broker.remove(this.#request.topic);
  }
}

/** The beginning of an append, by bytes or, in a JSON stream, by messages. Undefined: the append has less. */
export function beginningOf(append: Buffer, type: string, subOffset: number): Buffer | undefined {
  if (!isJsonType(type)) return subOffset > append.length ? undefined : append.subarray(0, subOffset);
  const messages = splitList(append.toString());
  return subOffset > messages.length ? undefined : Buffer.from(messages.slice(0, subOffset).join(','));
}

/** The epochs whose tokens are valid in a fork at this count. */
export function inheritedBy({ epoch, config }: LoadedStream, count: number): ForkOrigin['inherited'] {
  const earlier = config.fork?.inherited ?? [];
  return [{ epoch, upTo: count }, ...earlier.map((one) => ({ ...one, upTo: Math.min(one.upTo, count) }))].slice(
    0,
    INHERITED_EPOCHS_MAX,
  );
}

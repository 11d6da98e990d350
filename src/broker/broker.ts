// The one seam under Holdline: what a broker is, and what it promises. Two interfaces, because readers
// of a log and workers of a queue want different things; every engine implements both, and
// `test/broker/contract/broker-contract.ts` states each promise below and passes on each of them.
//
// A topic is an ordered log of text records. Offsets are contiguous from 0 inside one epoch. Topics
// appear with their first write and vanish by TTL or removal. Nothing here knows what a chat is.
//
// Promises
//  - Visible ≤ durable: nobody reads a record before it has reached the configured durability, and
//    `append` resolves only then. After a crash a reader is never ahead of the log.
//  - Loud or perfect: a reader gets exactly the records after its position, in order, or a `reset`
//    that says why not. Never a later record first, never silence.
//  - A record, once visible, does not change or vanish inside its epoch, except into a declared hole.
//  - The epoch changes whenever history could have: re-creation, or a restart that may have lost
//    visible records.
//  - Appends to one topic are serialized; conditions are checked at that serialization point, so a
//    condition that held when `append` resolved held at the moment of writing.
import type { StopSignal } from '../base/stop-signal.ts';
import { BrokerError } from './errors.ts';
import type { LiteTopicName, TopicPattern } from './lite-topic.ts';
import type { Position } from './position.ts';

/** UTF-8 bytes of one record's data. */
export const RECORD_BYTES_MAX = 1024 * 1024;
export const APPEND_RECORDS_MAX = 1024;
/** UTF-8 bytes of all records of one append, so that one caller cannot hold up a group commit for long. */
export const APPEND_BYTES_MAX = 16 * 1024 * 1024;
export const APPEND_WRITES_MAX = 8;
/** Ranges in one write. */
export const SUPERSEDES_MAX = 4096;
/** What one read gives at most, where it does not say itself: UTF-8 bytes of data, and records. */
export const READ_BYTES = 256 * 1024;
export const READ_RECORDS = 4096;
/** Topics on one page of a list. */
export const LIST_LIMIT_MAX = 1000;
/** A tombstone keeps the reason of a topic's end for this long, for readers that come back. */
export const TOMBSTONE_MS = 60 * 60 * 1000;

export interface NewRecord {
  /** Minor records (token deltas) do not disturb `ifUnchanged`, and only they may be superseded. */
  readonly major: boolean;
  /** Well-formed UTF-16 (no lone surrogates): engines store it as UTF-8. */
  readonly data: string;
}

export interface LogRecord extends NewRecord {
  readonly kind: 'record';
  readonly offset: number;
}

/** Offsets `from` to `to` (inclusive) were superseded by the write whose first record stands at `by`. */
export interface Hole {
  readonly kind: 'hole';
  readonly from: number;
  readonly to: number;
  readonly by: number;
}

export type LogItem = LogRecord | Hole;

/** For queues: which waiting topic is served first. Sticky on the topic until another write names one. */
export type Priority = 'high' | 'normal' | 'low';

export interface TopicWrite {
  readonly topic: LiteTopicName;
  /** May be empty: with `ttlMs` that is a touch. */
  readonly records: readonly NewRecord[];
  /** `create`: make the topic if it is missing, and take it as it is if not. `absent`: make it, and if it is there
   *  already, `conflict`. An epoch: it must exist in that epoch, else `epoch-changed` and nothing is created. */
  readonly expect: { readonly create: true } | { readonly absent: true } | { readonly epoch: string };
  /** No major record may stand after this position, else `conflict`; `offset: -1` is before the first record. Of
   *  another epoch than the topic's, or of a missing topic: `epoch-changed`. */
  readonly ifUnchanged?: Position;
  /** The writer's fence and its own count of fenced appends since it took the fence, from 1. Another fence than
   *  the topic's: `fenced`. The last (fence, seq) again: the same answer and nothing stored. Any other seq than
   *  the next: `out-of-sequence`. Needs `expect.epoch`, and is checked right after it and before every other
   *  condition of any write, so that a retry of the whole append succeeds. */
  readonly fence?: { readonly fence: number; readonly seq: number };
  /** The topic's fence becomes the offset of this write's first record. */
  readonly takeFence?: true;
  /** Inclusive ranges, ascending, of earlier minor records (or earlier holes) that this write replaces. */
  readonly supersedes?: readonly (readonly [from: number, to: number])[];
  /** Expire this long after the last write. Sticky. A topic that never got one does not expire. */
  readonly ttlMs?: number;
  readonly priority?: Priority;
  /** On one of the writes: the append ends or stops something, and so leads to room. An engine that is full takes it within
   *  a reserve, where it has one. `half`: a short-lived thing that users go on with, and that must leave the other half alone. */
  readonly mayUseReserve?: true | 'half';
}

export interface Appended {
  readonly epoch: string;
  /** Offset of the write's first record; equals `next` for an empty write. */
  readonly first: number;
  /** The offset the topic's next record will get. */
  readonly next: number;
}

export type ResetReason = 'expired' | 'removed' | 'trimmed' | 'epoch-changed' | 'ahead-of-log' | 'undeclared-hole';

export interface Reset {
  readonly kind: 'reset';
  readonly reason: ResetReason;
  /** Of the topic as it is now; of its last life for `expired` and `removed`. */
  readonly epoch: string;
  readonly earliest: number;
  readonly next: number;
}

export interface LogBatch {
  readonly kind: 'batch';
  readonly epoch: string;
  /** In reading order. Records and holes together leave no offset out (unless `majorOnly`). */
  readonly items: readonly LogItem[];
  /** Where to go on in the same direction: an offset, or -1 after a backward read that reached the start. */
  readonly next: number;
  /** Forward: everything visible has been read. Backward: offset 0 has been read. */
  readonly end: boolean;
}

/** `missing`: no such topic, and no tombstone of one. */
export type ReadResult = LogBatch | Reset | { readonly kind: 'missing' };

export interface ReadOptions {
  /** `backward` reads `from`, `from - 1`, … and gives items in that order. Default forward. */
  readonly direction?: 'forward' | 'backward';
  /** UTF-8 bytes of data, a hint: at least one item is given even above it. Default READ_BYTES. */
  readonly maxBytes?: number;
  /** Default READ_RECORDS. */
  readonly maxRecords?: number;
  /** Skip minor records and holes, without a word. The cost of what is skipped must not be that of reading it. */
  readonly majorOnly?: boolean;
}

/** The first record wanted (inclusive), `earliest`, or `end` (backward reads only: the last record). */
export type ReadFrom = Position | 'earliest' | 'end';

export interface TailOptions {
  readonly signal: StopSignal;
  /** Only major records, and wake only for them. */
  readonly majorOnly?: boolean;
}

/** Receives the results of a tail in order, each in the turn of the event loop in which it becomes visible. */
export interface TailListener {
  /** Must not throw: an error ends the tail and is passed to `onError`. */
  onResult(result: ReadResult): void;
  /** Nothing follows: the tail was stopped, or the last result was no batch. Called at most once. */
  onEnd(): void;
  /** The tail failed (BrokerError closed, corrupt, unavailable, failed) and has ended. Called instead of `onEnd`. */
  onError(error: unknown): void;
}

/** One reader of one topic. A caller either iterates over it or follows it, once. */
export interface Tail extends AsyncIterable<ReadResult> {
  /** Calls the listener until the tail ends. Without iteration no promise is made for a result, so that one node can
   *  follow thousands of topics. */
  follow(listener: TailListener): void;
}

export interface TopicInfo {
  readonly topic: LiteTopicName;
  readonly epoch: string;
  readonly earliest: number;
  readonly next: number;
  /** Offset of the last major record, -1 if there is none. */
  readonly lastMajor: number;
  /** -1 until one is taken. */
  readonly fence: number;
  /** UTF-8 bytes of the live records' data. */
  readonly bytes: number;
  readonly ttlMs?: number;
  /** ms since 1970. */
  readonly expiresAt?: number;
}

export interface TopicPage {
  readonly topics: readonly TopicInfo[];
  /** Pass as `after` for the next page; absent on the last. */
  readonly after?: LiteTopicName;
}

/** @throws BrokerError invalid-config */
export function checkListLimit(limit: number): void {
  if (!Number.isInteger(limit) || limit < 1 || limit > LIST_LIMIT_MAX)
    throw new BrokerError('invalid-config', `limit is from 1 to ${LIST_LIMIT_MAX}`);
}

export interface DescribeOptions {
  readonly isDurable?: boolean;
}

export interface Broker {
  /**
   * All writes or none. Topics must differ and share one routing key (their last name segment), which is
   * what lets a clustered engine keep them together. Answers stand in the order of the writes.
   * @throws BrokerError invalid-append, too-large, epoch-changed, conflict, fenced, out-of-sequence,
   *   overloaded, disk-full, unavailable, failed, corrupt, closed. After any of these but `failed` and `unavailable`,
   *   nothing was written. After `unavailable` it may have been, and may be seen: the same append again is safe under a
   *   fence (it is answered as the first time) and under `ifUnchanged` with a major record (`conflict` then says that it
   *   was written, or another); one without either may be stored twice.
   */
  append(writes: readonly TopicWrite[]): Promise<readonly Appended[]>;

  /** Never destructive; never creates. @throws BrokerError corrupt, unavailable, failed, closed */
  read(topic: LiteTopicName, from: ReadFrom, options?: ReadOptions): Promise<ReadResult>;

  /**
   * From a position, then live, gap-free, for any number of readers. Yields non-empty batches; after a
   * `reset` (or `missing`) it ends. Ends quietly when the signal aborts. A reader that does not ask is not
   * buffered for: it is given what it missed, from the log, when it asks again.
   */
  tail(topic: LiteTopicName, from: Position, options: TailOptions): Tail;

  /** One answer per name, undefined where there is no such topic. With `isDurable` it rests on nothing that is less safe
   *  than an acknowledged append: without, an engine that waits for replicas may tell of one that nobody was acknowledged
   *  yet, and that a fail-over takes back. */
  describe(topics: readonly LiteTopicName[], options?: DescribeOptions): Promise<readonly (TopicInfo | undefined)[]>;

  /** Attached readers get `reset{removed}`. False if there was none. */
  remove(topic: LiteTopicName): Promise<boolean>;

  /** In name order. At most `limit` (1 to LIST_LIMIT_MAX, else `invalid-config`). */
  list(pattern: TopicPattern, page: { readonly after?: LiteTopicName; readonly limit: number }): Promise<TopicPage>;

  /** Ends every tail and consumer, writes what was accepted, releases the storage. Idempotent. */
  close(): Promise<void>;
}

export interface ConsumeOptions {
  /** Deliveries that this consumer may hold at once. */
  readonly credit: number;
  /** A delivery neither settled nor extended for this long goes to another consumer. */
  readonly visibilityMs: number;
  readonly signal: AbortSignal;
}

export interface Delivery {
  readonly topic: LiteTopicName;
  readonly epoch: string;
  readonly record: LogRecord;
  readonly priority: Priority;
  /** How often this record has been delivered, from 1, as far as this life of the engine remembers. */
  readonly attempt: number;
  /** Aborts when the lease is lost: another consumer may hold the record now. */
  readonly lost: AbortSignal;
  /** Consumed, durably, up to and with this record. False: the lease was lost, nothing changed. */
  ack(): Promise<boolean>;
  /** Give it back, to be delivered again after `delayMs`. False: the lease was lost. */
  nack(delayMs: number): Promise<boolean>;
  /** Another `visibilityMs` from now. False: the lease was lost. */
  extend(): Promise<boolean>;
}

/**
 * Queues: a group consumes every topic that matches a pattern, each in order, at most one delivery in flight
 * per topic, each record until it is acknowledged. Between topics: the higher priority first, within a
 * priority the one that waited longest; a lower class is never starved altogether. What a group has consumed is durable
 * and per topic; a topic that appears later is found; a new group starts at the earliest record. A topic
 * with records that a known group has not consumed does not expire. Leases name the life of the process that
 * gave them: a restart voids them at once. A consumer that stops asking keeps no other waiting.
 */
export interface GroupBroker {
  /** Ends when the signal aborts; what is in flight then may still be settled. A group has one pattern: another
   *  is `invalid-config`, as are options outside their limits. Asking for the first delivery makes the group known. */
  consume(group: string, pattern: TopicPattern, options: ConsumeOptions): AsyncIterable<Delivery>;

  /** Of those of the topics (at most 256) that wait in this group for a consumer: how many topics wait before each, by
   *  class and turn. What is in flight, given back for a while, or consumed is left out, and so is all of a group that
   *  this engine does not know. A hint for who waits: the queue moves meanwhile, on several machines it is counted part
   *  by part, and a lower class that is let through now and then is not foreseen.
   *  @throws BrokerError invalid-config, unavailable, closed */
  countBefore(group: string, topics: readonly LiteTopicName[]): Promise<ReadonlyMap<LiteTopicName, number>>;
}

export interface BrokerHealth {
  /** `full`: reads go on, writes fail with `disk-full` until there is room. `unavailable`: the storage cannot be asked
   *  now; heals by itself. `failed`: restart the process. */
  readonly state: 'ready' | 'full' | 'unavailable' | 'failed';
  /** What an acknowledged record survives, in one line for an operator. */
  readonly durability: string;
  /** Something that an operator should look at while the storage works: the clock is not believed, for example. */
  readonly notice?: string | undefined;
}

export interface HealthReporting {
  health(): BrokerHealth;
}

export type BrokerEngine = Broker & GroupBroker & HealthReporting;

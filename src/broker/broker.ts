// The seam under Holdline: what a broker is, and what it promises. There are two interfaces, because readers of a log
// and workers of a queue need different things. Every engine implements both, and
// `test/broker/contract/broker-contract.ts` tests each promise below on every engine.
//
// A topic is an ordered log of text records. Offsets are contiguous from 0 inside one epoch. The first append makes a
// topic; expiry or removal ends it. Nothing here knows what a chat is.
//
// Promises
//  - Visible ≤ durable: no reader receives a record before it has reached the configured durability, and `append`
//    resolves only then. After a crash a reader is never ahead of the log.
//  - Loud or perfect: a reader receives exactly the records after its position, in order, or a `reset` that says why
//    not. It never receives a later record first, and it never receives silence.
//  - A record, once visible, does not change or disappear inside its epoch, except into a declared hole.
//  - The epoch changes whenever the history may have changed: when a topic is made again, after a restart that may
//    have lost visible records, or when records turn out to be damaged in the storage. Damaged records are declared as
//    lost offsets; no reader receives bytes that fail their check.
//  - Appends to one topic are serialized. The engine checks conditions at that serialization point, so a condition
//    that held when `append` resolved held at the moment of writing.
import type { Paused, QueuePlace } from './flow-policy.ts';
import type { StopSignal } from '../base/stop-signal.ts';
import type { BlobKeeping } from './blobs.ts';
import { BrokerError } from './errors.ts';
import type { HealthReporting, RecordChecking } from './health.ts';
import type { LiteTopicName, TopicPattern } from './lite-topic.ts';
import type { Position } from './position.ts';
import type { Quota } from './quota.ts';

/** UTF-8 bytes of one record's data. */
export const RECORD_BYTES_MAX = 1024 * 1024;
export const APPEND_RECORDS_MAX = 1024;
/** UTF-8 bytes of all records of one append, so that one caller cannot delay a group commit for long. */
export const APPEND_BYTES_MAX = 16 * 1024 * 1024;
export const APPEND_WRITES_MAX = 8;
/** Ranges in one write. */
export const SUPERSEDES_MAX = 4096;
/** The most that one read returns unless its options say otherwise: UTF-8 bytes of data, and records. */
export const READ_BYTES = 256 * 1024;
export const READ_RECORDS = 4096;
/** Topics on one page of a list, at most. */
export const LIST_LIMIT_MAX = 1000;
/** How long a tombstone keeps the reason for a topic's end, for readers that come back. */
export const TOMBSTONE_MS = 60 * 60 * 1000;

/** The shortest time to live. A topic that is meant to end at once has this one, or is removed. */
export const TTL_MS_MIN = 1_000;
/** The longest time to live, a thousand years: for topics that are meant not to end. A time that is this far ahead is
 *  still a date, and still exact as a number. */
export const TTL_MS_MAX = 1000 * 365 * 24 * 60 * 60 * 1000;

/** The longest delay of a delivery. */
export const DELAY_MS_MAX = 30 * 24 * 60 * 60 * 1000;

export interface NewRecord {
  /** Minor records (deltas) do not affect `ifUnchanged`, and only they may be superseded. */
  readonly major: boolean;
  /** Well-formed UTF-16 (no lone surrogates): engines store it as UTF-8. */
  readonly data: string;
}

export interface LogRecord extends NewRecord {
  readonly kind: 'record';
  readonly offset: number;
}

/** Offsets `from` to `to` (inclusive) were superseded by the write whose first record has the offset `by`. */
export interface Hole {
  readonly kind: 'hole';
  readonly from: number;
  readonly to: number;
  readonly by: number;
}

/** Offsets `from` to `to` (inclusive) are lost: their records cannot be read back from the storage. The topic began
 *  another epoch when the engine declared the loss, so within an epoch a record that was readable stays readable. */
export interface Lost {
  readonly kind: 'lost';
  readonly from: number;
  readonly to: number;
}

export type LogItem = LogRecord | Hole | Lost;

/** Which waiting topic a queue serves first. The topic keeps its priority until another write names one. */
export type Priority = 'high' | 'normal' | 'low';

/** What the time to live counts from. `idle`: the last write. `reader`: the last write or the last attached reader,
 *  whichever is later. `absolute`: the moment at which the topic was made. */
export type TtlMode = 'idle' | 'reader' | 'absolute';

export interface TopicWrite {
  readonly topic: LiteTopicName;
  /** May be empty. An empty write with `ttlMs` restarts the time to live. */
  readonly records: readonly NewRecord[];
  /** `create`: make the topic if it is missing, and accept it as it is if not. `absent`: make it, and fail with
   *  `conflict` if it exists. An epoch: the topic must exist in that epoch, or the append fails with `epoch-changed`
   *  and creates nothing. */
  readonly expect: { readonly create: true } | { readonly absent: true } | { readonly epoch: string };
  /** No major record may come after this position, or the append fails with `conflict`; `offset: -1` is before the
   *  first record. If the topic is missing or in another epoch, the append fails with `epoch-changed`. */
  readonly ifUnchanged?: Position;
  /** The writer's fencing token, and its own count of fenced appends since it took the token, from 1. Another token
   *  than the topic's: `fenced`. The last (fence, seq) again: the same answer, and nothing is stored. Any seq but
   *  the next: `out-of-sequence`. Needs `expect.epoch`. The engine checks it right after `expect.epoch` and before
   *  every other condition of any write, so that a retry of the whole append succeeds. */
  readonly fence?: { readonly fence: number; readonly seq: number };
  /** The offset of this write's first record becomes the topic's fencing token. */
  readonly takeFence?: true;
  /** Inclusive, ascending ranges of earlier minor records (or earlier holes) that this write replaces. */
  readonly supersedes?: readonly (readonly [from: number, to: number])[];
  /** The topic expires this long after its last write. It keeps the value until another write names one; a topic
   *  without a value does not expire. TTL_MS_MIN to TTL_MS_MAX. */
  readonly ttlMs?: number;
  /** The topic keeps its mode until another write names one. Default: `idle`. A write with a mode also names `ttlMs`.
   *  In the mode `reader`, less than READER_TTL_MIN_MS counts as that. */
  readonly ttlMode?: TtlMode;
  /** For the write that makes the topic, and without effect in any other: this long after it the topic ends, whatever
   *  holds it. TTL_MS_MIN to TTL_MS_MAX. */
  readonly hardMaxMs?: number;
  readonly priority?: Priority;
  /** Groups get no record of the topic before this many ms have passed, from 1 to DELAY_MS_MAX. The delay survives a
   *  restart; a later write may prolong it and cannot shorten it. Readers see the records at once. If the engine's
   *  clock is set, the delivery comes earlier or later by at most as much. */
  readonly delayMs?: number;
  /** Bytes that the topic keeps beside its records, for the quota of its account. It keeps the value. Default: 0. */
  readonly besideBytes?: number;
  /** The topic's account must stay within it, or the append fails. Only a write that names a quota can be refused by
   *  one. It names `expect.absent` or an epoch; one write of the append sets it. */
  readonly quota?: Quota;
  /** The append ends or stops something and so frees room; one write of the append sets it. A full engine that has a
   *  reserve accepts the append within the reserve. `half`: for a short-lived thing with which users continue; it
   *  may use only half of the reserve. */
  readonly mayUseReserve?: true | 'half';
}

export interface Appended {
  readonly epoch: string;
  /** Offset of the write's first record. For an empty write it equals `next`. */
  readonly first: number;
  /** The offset that the topic's next record will get. */
  readonly next: number;
}

/** `damaged`: records were lost since, and a read from the start names their offsets (`Lost`). */
export type ResetReason =
  'expired' | 'removed' | 'trimmed' | 'epoch-changed' | 'ahead-of-log' | 'undeclared-hole' | 'damaged';

export interface Reset {
  readonly kind: 'reset';
  readonly reason: ResetReason;
  /** The topic's present epoch; for `expired` and `removed` the epoch that ended. */
  readonly epoch: string;
  readonly earliest: number;
  readonly next: number;
}

export interface LogBatch {
  readonly kind: 'batch';
  readonly epoch: string;
  /** In reading order. Records and holes together skip no offset (unless `majorOnly`). */
  readonly items: readonly LogItem[];
  /** Where the next read in the same direction continues: an offset, or -1 after a backward read that reached the
   *  start. */
  readonly next: number;
  /** Forward: the read reached the last visible record. Backward: it reached offset 0. */
  readonly end: boolean;
}

/** `missing`: there is no such topic and no tombstone of one. */
export type ReadResult = LogBatch | Reset | { readonly kind: 'missing' };

export interface ReadOptions {
  /** `backward` returns `from`, `from - 1`, … in that order. Default: forward. */
  readonly direction?: 'forward' | 'backward';
  /** UTF-8 bytes of data. A hint: a read returns at least one item even if it is larger. Default: READ_BYTES. */
  readonly maxBytes?: number;
  /** Default READ_RECORDS. */
  readonly maxRecords?: number;
  /** Skips minor records and holes without a notice, but no lost offsets: they may have been majors. Skipping must not
   *  cost the engine as much as reading. */
  readonly majorOnly?: boolean;
}

/** The first record to return (inclusive), `earliest`, or `end` (backward reads only: the last record). */
export type ReadFrom = Position | 'earliest' | 'end';

export interface TailOptions {
  readonly signal: StopSignal;
  /** Yields only major records and lost offsets, and wakes only for major records. */
  readonly majorOnly?: boolean;
}

/** Receives the results of a tail in order, each in the turn of the event loop in which it becomes visible. */
export interface TailListener {
  /** Must not throw: an error ends the tail and is passed to `onError`. */
  onResult(result: ReadResult): void;
  /** Nothing follows: the tail was stopped, or the last result was no batch. Called at most once. */
  onEnd(): void;
  /** The tail has ended with an error: BrokerError closed, corrupt, unavailable, failed, or what `onResult` threw.
   *  Called instead of `onEnd`. */
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
  /** Offset of the last major record, -1 if there is none. It may be lost. */
  readonly lastMajor: number;
  /** The fencing token; -1 until a writer takes one. */
  readonly fence: number;
  /** UTF-8 bytes of the live records' data. */
  readonly bytes: number;
  readonly ttlMs?: number;
  /** Absent for `idle`. */
  readonly ttlMode?: TtlMode;
  /** ms since 1970. */
  readonly expiresAt?: number;
  /** ms since 1970: the hard maximum. */
  readonly endsAt?: number;
}

export interface TopicPage {
  /** At most `limit`. Fewer, or even none, also if more follow: a page examines a bounded number of names. */
  readonly topics: readonly TopicInfo[];
  /** Pass it as `after` to get the next page. Absent on the last page. */
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
   * Stores all writes or none. The topics must differ and share one routing key (their last name segment), so that a
   * clustered engine can keep them together. The answers are in the order of the writes.
   * @throws BrokerError invalid-append, too-large, epoch-changed, conflict, fenced, out-of-sequence, overloaded,
   * disk-full, quota-reached, quota-rate-reached, unavailable, failed, corrupt, closed. After any of these except
   * `failed` and `unavailable`, nothing was written. After `unavailable` the append may have been written, and readers
   * may see it. Repeating it is safe under a fencing token (the engine answers as the first time) and under
   * `ifUnchanged` with a major record (`conflict` then says that this append or another was written). An append with
   * neither may be stored twice.
   */
  append(writes: readonly TopicWrite[]): Promise<readonly Appended[]>;

  /** Neither removes nor creates anything. @throws BrokerError corrupt, unavailable, failed, closed */
  read(topic: LiteTopicName, from: ReadFrom, options?: ReadOptions): Promise<ReadResult>;

  /**
   * Yields what follows a position, then live records, without gaps, for any number of readers. Yields non-empty
   * batches; after a `reset` (or `missing`) it ends. Ends without an error when the signal aborts. The engine does not
   * buffer for a reader that does not ask for more: when the reader asks again, it receives from the log what it
   * missed.
   */
  tail(topic: LiteTopicName, from: Position, options: TailOptions): Tail;

  /** One answer for each name; undefined where there is no such topic. With `isDurable` the answer is as safe as an
   *  acknowledged append. Without it, an engine that waits for replicas may describe an append that it has not
   *  acknowledged yet and that a fail-over takes back. */
  describe(topics: readonly LiteTopicName[], options?: DescribeOptions): Promise<readonly (TopicInfo | undefined)[]>;

  /** Attached readers receive `reset{removed}`. Resolves to false if there was no such topic. With `ifUnchanged` it
   *  fails as an append with that condition does, and removes nothing. */
  remove(topic: LiteTopicName, ifUnchanged?: Position): Promise<boolean>;

  /** Topics in the order of their names. `limit`: 1 to LIST_LIMIT_MAX, otherwise `invalid-config`. */
  list(pattern: TopicPattern, page: { readonly after?: LiteTopicName; readonly limit: number }): Promise<TopicPage>;

  /** Ends every tail and consumer, writes what was accepted, and releases the storage. Idempotent. */
  close(): Promise<void>;
}

export interface ConsumeOptions {
  /** Deliveries that this consumer may hold at once. */
  readonly credit: number;
  /** At present it may hold at most this many. `subscribe` is given what to call after each change, and returns how to
   *  end that. */
  readonly present?: { readonly credit: number; subscribe(changed: () => void): () => void };
  /** A delivery that the consumer neither settles nor extends for this long goes to another consumer. */
  readonly visibilityMs: number;
  readonly signal: AbortSignal;
  /** A record that was delivered this often is set aside as a dead letter instead of being delivered to this consumer
   *  once more. From 1 to ATTEMPTS_MAX_MAX. Default: ATTEMPTS_MAX. */
  readonly attemptsMax?: number;
  /** Called when a record was set aside because it was delivered to this consumer too often. The record is consumed
   *  when it resolves. If it rejects, or the process ends before, the record is set aside and this is called again. */
  readonly onDeadLetter?: (letter: DeadLetter, record: LogRecord) => Promise<void>;
}

/** A record that a group has given up. */
export interface DeadLetter {
  /** The letter's own topic (dead-letters.ts). */
  readonly name: LiteTopicName;
  readonly group: string;
  /** Where the record was. */
  readonly topic: LiteTopicName;
  readonly epoch: string;
  readonly offset: number;
  readonly attempts: number;
  readonly reason: string;
  /** ms since 1970. */
  readonly at: number;
}

export interface NackOptions {
  /** False: this delivery counts as no attempt, because the consumer has not tried the record. Default: true. */
  readonly count?: boolean;
}

export interface Delivery {
  readonly topic: LiteTopicName;
  readonly epoch: string;
  readonly record: LogRecord;
  readonly priority: Priority;
  /** How often the engine has delivered this record, from 1. A delivery that was given back without being counted has
   *  the same number again. The number is durable no later than the next append that the engine acknowledges, so a
   *  consumer that has appended anything is counted, whatever ends it. */
  readonly attempt: number;
  /** Aborts when the lease is lost: another consumer may hold the record from then on. */
  readonly lost: AbortSignal;
  /** Marks the topic as consumed, durably, up to and including this record. False: the lease was lost, and nothing
   *  changed. */
  ack(): Promise<boolean>;
  /** Gives the record back; the engine delivers it again after `delayMs`, from 0 to DELAY_MS_MAX. The delay survives a
   *  restart. False: the lease was lost. @throws BrokerError invalid-config */
  nack(delayMs: number, options?: NackOptions): Promise<boolean>;
  /** Sets the record aside as a dead letter and consumes it: its topic continues, and an operator may release it.
   *  `reason`: a code of 1 to 64 of a-z, 0-9 and -. False: the lease was lost, and the record comes again.
   *  @throws BrokerError invalid-config, and of `append`: the lease is still held then */
  reject(reason: string): Promise<boolean>;
  /** Extends the lease to `visibilityMs` from now. False: the lease was lost. */
  extend(): Promise<boolean>;
  /** The model tokens that this delivery has used so far, in place of an earlier number. A hint for the fair order:
   *  what is above the guess of the schedule counts at once (on Redis with the next extension), and the rest when the
   *  delivery is settled. No effect after the lease is lost or settled, nor for a negative number. */
  charge(tokens: number): void;
}

/** Topics of a group that wait, by priority. */
export type WaitingCounts = Readonly<Record<Priority, number>>;

/** The flow that pays for a topic's deliveries: a path of names with slashes between them, from the widest to the
 *  narrowest, such as `tenant/user/session`. Turns are shared between the first names, then inside each of them
 *  between the second ones, and so on; topics of one path share its turns. Must always give the same answer for a
 *  topic. */
export type FlowOf = (topic: LiteTopicName) => string;

/**
 * Queues. A group consumes every topic that matches a pattern: each topic in order, at most one delivery in flight
 * for each topic, and each record until it is acknowledged or set aside. Among topics, the higher priority goes first;
 * a lower priority always gets a share. Within a priority, flows (`FlowOf`) share deliveries fairly by their weights,
 * counted in what `charge` reports, and within a flow the topic that has waited longest goes first. What a group has
 * consumed is durable, for each topic. The group finds topics that appear later; a new group starts at the earliest
 * record. A topic does not expire while a known group has not consumed all of its records. A lease names the process
 * run that gave it: a restart voids all leases at once. A consumer that stops asking delays no other consumer.
 */
export interface GroupBroker {
  /** Ends when the signal aborts; deliveries in flight may still be settled then. A group has one pattern: another
   *  pattern is `invalid-config`, and so are options outside their limits. The first request for a delivery makes
   *  the group known. */
  consume(group: string, pattern: TopicPattern, options: ConsumeOptions): AsyncIterable<Delivery>;

  /** For each given topic (at most 256) that is queued in this group: the number of topics ahead of it, by priority
   *  and order, and in how many ms it is delivered, as far as that is known from how long deliveries took. Leaves out
   *  topics in flight, given back with a delay, or consumed, and all topics of a group that this engine does not know.
   *  A hint only: the queue moves meanwhile, and the count does not foresee the share of a lower priority.
   *  @throws BrokerError invalid-config, unavailable, closed */
  countBefore(group: string, topics: readonly LiteTopicName[]): Promise<ReadonlyMap<LiteTopicName, QueuePlace>>;

  /** How many topics wait in each of these groups (at most GROUPS_MAX), in all flows or only in those whose path begins
   *  with this name. Leaves out topics in flight and given back with a delay; a group that this engine does not know
   *  has none. On Redis, what came within the last second may be missing. @throws BrokerError invalid-config,
   *  unavailable, closed */
  countWaiting(groups: readonly string[], flow?: string): Promise<readonly WaitingCounts[]>;

  /** Nothing of these groups and flows is delivered until a list of a higher version leaves them out; it waits, and
   *  deliveries under way continue. Holds on all nodes once it resolves. The caller keeps the list, and gives it again
   *  after a start and from time to time, because a storage may lose it. Returns the list that holds now: this one, or
   *  the one of the same or a higher version that the engine had. @throws BrokerError invalid-config, unavailable,
   *  disk-full, closed */
  setPaused(paused: Paused): Promise<Paused>;
}

export type BrokerEngine = Broker & GroupBroker & HealthReporting & BlobKeeping & Partial<RecordChecking>;

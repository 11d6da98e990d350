// The rules of an append, as pure functions: what a well-formed append is, whether a topic's state accepts it, and the
// state after it. Every engine decides with these functions at its serialization point, so that no two engines differ.
// Storage, time and waiting belong to the engines.
import {
  APPEND_BYTES_MAX,
  APPEND_RECORDS_MAX,
  APPEND_WRITES_MAX,
  DELAY_MS_MAX,
  RECORD_BYTES_MAX,
  SUPERSEDES_MAX,
  TTL_MS_MAX,
  TTL_MS_MIN,
} from './broker.ts';
import type { Appended, Priority, TopicWrite, TtlMode } from './broker.ts';
import type { BrokerErrorCode } from './errors.ts';
import { BrokerError } from './errors.ts';
import type { LiteTopicName } from './lite-topic.ts';
import type { Position } from './position.ts';

/** What a decision about a write needs of the topic. An engine keeps it, and makes it durable together with the
 *  records. */
export interface TopicState {
  readonly epoch: string;
  readonly next: number;
  readonly lastMajor: number;
  readonly fence: number;
  /** The last seq under the current fencing token; 0 until the first fenced append. */
  readonly lastSeq: number;
  /** The answers of the append with `lastSeq`, for all of its writes: the answer to a retry of it. */
  readonly lastAnswers: readonly Appended[];
}

export interface PlannedWrite {
  readonly write: TopicWrite;
  readonly created: boolean;
  readonly state: TopicState;
  readonly appended: Appended;
}

export type AppendPlan =
  | { readonly kind: 'accept'; readonly writes: readonly PlannedWrite[]; readonly answers: readonly Appended[] }
  | { readonly kind: 'duplicate'; readonly answers: readonly Appended[] };

/** What a plan needs of a topic. */
export interface AppendSubject {
  /** Undefined where there is no such topic. */
  readonly state: TopicState | undefined;
  /** True if no offset in `from` to `to` (inclusive) is a major record. Called only for ranges below `next`. */
  isMinor(from: number, to: number): boolean;
}

const NO_ANSWERS: readonly Appended[] = [];

export function newTopicState(epoch: string): TopicState {
  return { epoch, next: 0, lastMajor: -1, fence: -1, lastSeq: 0, lastAnswers: NO_ANSWERS };
}

/** The key by which a clustered engine places a topic: one append can write to topics with the same key. */
export function routingKey(topic: LiteTopicName): string {
  return topic.slice(topic.lastIndexOf('/') + 1);
}

/**
 * Decides the whole append and computes the states after it; changes nothing. It looks for retries over all writes
 * before it checks any other condition, so the order of the writes does not matter for a retry.
 * `subjects`: the topics of the writes, in their order. `newEpoch`: returns an epoch that the topic never had.
 * Arrays get their size at once: an array that grows by push reserves room for sixteen more, for every token.
 * @throws BrokerError epoch-changed, fenced, out-of-sequence, conflict, invalid-append
 */
export function planAppend(
  writes: readonly TopicWrite[],
  subjects: readonly AppendSubject[],
  newEpoch: () => string,
): AppendPlan {
  const retried = answersToRetry(writes, subjects);
  if (retried !== undefined) return { kind: 'duplicate', answers: retried };
  // The states below share this array. It is complete before any caller sees them.
  const answers = new Array<Appended>(writes.length);
  const planned = new Array<PlannedWrite>(writes.length);
  for (let i = 0; i < writes.length; i++) {
    const write = at(writes, i);
    const subject = at(subjects, i);
    checkWrite(subject, write);
    const before = subject.state ?? newTopicState(newEpoch());
    const state = applyWrite(before, write, answers);
    const appended = answerTo(before, state);
    answers[i] = appended;
    planned[i] = { write, created: subject.state === undefined, state, appended };
  }
  return { kind: 'accept', answers, writes: planned };
}

/**
 * Checks a write against a state, in this order: the expected epoch, the fencing token and its count, `ifUnchanged`,
 * the superseded ranges. For validated writes that are not retries.
 * @throws BrokerError epoch-changed, fenced, out-of-sequence, conflict, invalid-append
 */
export function checkWrite(subject: AppendSubject, write: TopicWrite): void {
  const { state } = subject;
  if ('epoch' in write.expect && state?.epoch !== write.expect.epoch)
    refuse('epoch-changed', 'the topic is not in the expected epoch');
  if ('absent' in write.expect && state !== undefined) refuse('conflict', 'the topic exists');
  if (write.fence !== undefined && state !== undefined) checkFence(state, write.fence);
  checkUnchanged(state, write.ifUnchanged);
  if (write.supersedes === undefined) return;
  for (const [from, to] of write.supersedes) {
    if (to >= (state?.next ?? 0)) refuse('invalid-append', 'supersedes offsets that do not exist yet');
    if (!subject.isMinor(from, to)) refuse('invalid-append', 'a major record cannot be superseded');
  }
}

/** @throws BrokerError epoch-changed, conflict */
export function checkUnchanged(state: TopicState | undefined, ifUnchanged: Position | undefined): void {
  if (ifUnchanged === undefined) return;
  if (state?.epoch !== ifUnchanged.epoch) refuse('epoch-changed', 'the topic is not in the epoch of ifUnchanged');
  if (state.lastMajor > ifUnchanged.offset) refuse('conflict', `a major record stands at ${state.lastMajor}`);
}

/** The state after an accepted write. A fenced write keeps the answers of its whole append (`answers`), because a
 *  retry asks for all of them. Written field by field: every token takes this path. */
export function applyWrite(state: TopicState, write: TopicWrite, answers: readonly Appended[]): TopicState {
  const { epoch, next: first } = state;
  const { records, fence, takeFence = false } = write;
  let lastMajor = state.lastMajor;
  for (let i = 0; i < records.length; i++) if (records[i]?.major === true) lastMajor = first + i;
  return {
    epoch,
    next: first + records.length,
    lastMajor,
    fence: takeFence ? first : state.fence,
    lastSeq: takeFence ? 0 : (fence?.seq ?? state.lastSeq),
    lastAnswers: takeFence ? NO_ANSWERS : fence === undefined ? state.lastAnswers : answers,
  };
}

/** The answer to a write by the states before and after it. */
export function answerTo({ epoch, next }: TopicState, after: TopicState): Appended {
  return { epoch, first: next, next: after.next };
}

/** @throws BrokerError invalid-append, too-large: for writes that no state of any topic could accept. */
export function validateWrites(writes: readonly TopicWrite[]): void {
  if (writes.length === 0) refuse('invalid-append', 'an append has at least one write');
  if (writes.length > APPEND_WRITES_MAX) refuse('too-large', `an append has at most ${APPEND_WRITES_MAX} writes`);
  if (writes.length > 1) validateTopics(writes);
  for (const write of writes) validateWrite(write);
  if (writes.length > 1 && writes.filter(({ quota }) => quota !== undefined).length > 1)
    refuse('invalid-append', 'one write of an append names a quota');
  validateSize(writes);
}

function validateTopics(writes: readonly TopicWrite[]): void {
  if (new Set(writes.map((write) => write.topic)).size !== writes.length)
    refuse('invalid-append', 'the topics of an append must differ');
  if (new Set(writes.map((write) => routingKey(write.topic))).size > 1) {
    refuse('invalid-append', 'the topics of an append must share their last segment');
  }
}

function validateWrite(write: TopicWrite): void {
  const empty = write.records.length === 0;
  if (write.takeFence === true && empty) refuse('invalid-append', 'takeFence needs a record: the fence is its offset');
  if (write.takeFence === true && write.fence !== undefined)
    refuse('invalid-append', 'a write takes a fence or names one, not both');
  if (write.fence !== undefined) {
    // A fencing token is an offset, so it means nothing without its epoch.
    if (!('epoch' in write.expect)) refuse('invalid-append', 'a fence needs the epoch it was taken in');
    if (!isCount(write.fence.fence, 0) || !isCount(write.fence.seq, 1))
      refuse('invalid-append', 'fence from 0, seq from 1');
  }
  if (write.ifUnchanged !== undefined && !isCount(write.ifUnchanged.offset, -1))
    refuse('invalid-append', 'ifUnchanged has an offset from -1');
  if (write.ttlMs !== undefined) validateTtl('ttlMs', write.ttlMs);
  if (write.ttlMode !== undefined) validateMode(write.ttlMode, write.ttlMs);
  if (write.hardMaxMs !== undefined) validateTtl('hardMaxMs', write.hardMaxMs);
  if (write.besideBytes !== undefined && !isCount(write.besideBytes, 0))
    refuse('invalid-append', 'besideBytes is a whole number from 0');
  if (write.quota !== undefined && 'create' in write.expect)
    refuse('invalid-append', 'a write with a quota expects an epoch, or no topic');
  if (write.delayMs !== undefined && (!isCount(write.delayMs, 1) || write.delayMs > DELAY_MS_MAX))
    refuse('invalid-append', `delayMs is a whole number from 1 to ${DELAY_MS_MAX}`);
  if (write.priority !== undefined && !PRIORITIES.has(write.priority)) refuse('invalid-append', 'no such priority');
  if (write.supersedes !== undefined) validateRanges(write.supersedes, empty);
}

const PRIORITIES: ReadonlySet<Priority> = new Set<Priority>(['high', 'normal', 'low']);

const MODES: ReadonlySet<TtlMode> = new Set<TtlMode>(['idle', 'reader', 'absolute']);

function validateTtl(field: string, ms: number): void {
  if (!isCount(ms, TTL_MS_MIN) || ms > TTL_MS_MAX)
    refuse('invalid-append', `${field} is a whole number from ${TTL_MS_MIN} to ${TTL_MS_MAX}`);
}

function validateMode(mode: TtlMode, ttlMs: number | undefined): void {
  if (!MODES.has(mode)) refuse('invalid-append', 'no such mode of a TTL');
  if (ttlMs === undefined) refuse('invalid-append', 'a mode of a TTL needs ttlMs');
}

function validateRanges(ranges: readonly (readonly [from: number, to: number])[], emptyWrite: boolean): void {
  if (ranges.length > SUPERSEDES_MAX) refuse('too-large', `a write supersedes at most ${SUPERSEDES_MAX} ranges`);
  if (emptyWrite && ranges.length > 0) refuse('invalid-append', 'superseding needs a record that replaces the ranges');
  let free = 0;
  for (const [from, to] of ranges) {
    if (!isCount(from, free) || !isCount(to, from))
      refuse('invalid-append', 'supersedes are ascending ranges that do not overlap');
    free = to + 1;
  }
}

/** Upper bound of UTF-8 bytes for one UTF-16 code unit. Most records are so short that this bound suffices and
 *  nothing is counted. */
const BYTES_PER_UNIT_MAX = 3;

function validateSize(writes: readonly TopicWrite[]): void {
  let records = 0;
  let units = 0;
  for (const write of writes) {
    records += write.records.length;
    if (records > APPEND_RECORDS_MAX) refuse('too-large', `an append has at most ${APPEND_RECORDS_MAX} records`);
    for (const { data } of write.records) {
      const isTooLarge =
        data.length * BYTES_PER_UNIT_MAX > RECORD_BYTES_MAX && Buffer.byteLength(data) > RECORD_BYTES_MAX;
      if (isTooLarge) refuse('too-large', `a record has at most ${RECORD_BYTES_MAX} bytes`);
      if (!data.isWellFormed()) refuse('invalid-append', 'data with a lone surrogate cannot be stored as UTF-8');
      units += data.length;
    }
  }
  const isTooLarge = units * BYTES_PER_UNIT_MAX > APPEND_BYTES_MAX && bytesOf(writes) > APPEND_BYTES_MAX;
  if (isTooLarge) refuse('too-large', `an append has at most ${APPEND_BYTES_MAX} bytes`);
}

function bytesOf(writes: readonly TopicWrite[]): number {
  return writes.reduce(
    (sum, { records }) => records.reduce((bytes, { data }) => bytes + Buffer.byteLength(data), sum),
    0,
  );
}

/** Whether the write repeats the last (fence, seq) of the topic, in the epoch in which that was given. */
export function isRetry(state: TopicState, write: TopicWrite): boolean {
  if (write.fence === undefined || !('epoch' in write.expect)) return false;
  return state.epoch === write.expect.epoch && state.fence === write.fence.fence && state.lastSeq === write.fence.seq;
}

/** A true retry repeats every write of its append. Anything else with the same seq is another append. */
function answersToRetry(
  writes: readonly TopicWrite[],
  subjects: readonly AppendSubject[],
): readonly Appended[] | undefined {
  let [fenced, retried] = [0, 0];
  let answers: readonly Appended[] = NO_ANSWERS;
  for (let i = 0; i < writes.length; i++) {
    const write = at(writes, i);
    const { state } = at(subjects, i);
    if (write.fence !== undefined) fenced += 1;
    if (state === undefined || !isRetry(state, write)) continue;
    if (retried === 0) answers = state.lastAnswers;
    retried += 1;
  }
  if (retried === 0) return undefined;
  if (retried !== fenced || answers.length !== writes.length) refuse('out-of-sequence', 'this seq was another append');
  return answers;
}

function checkFence(state: TopicState, given: { readonly fence: number; readonly seq: number }): void {
  if (given.fence !== state.fence) refuse('fenced', `the topic's fence is ${state.fence}`);
  if (given.seq !== state.lastSeq + 1) refuse('out-of-sequence', `the next seq is ${state.lastSeq + 1}`);
}

function isCount(value: number, min: number): boolean {
  return Number.isSafeInteger(value) && value >= min;
}

function refuse(code: BrokerErrorCode, message: string): never {
  throw new BrokerError(code, message);
}

function at<T>(list: readonly T[], i: number): T {
  const one = list[i];
  if (one === undefined) throw new RangeError('an append has one topic for each write');
  return one;
}

// The rules of an append, as pure functions: what a well-formed append is, whether it may be written on top
// of a topic's state, and the state after it. Every engine decides with these at its serialization point, so
// that no two engines can disagree; storage, time and waiting stay with the engines.
import { APPEND_BYTES_MAX, APPEND_RECORDS_MAX, APPEND_WRITES_MAX, RECORD_BYTES_MAX, SUPERSEDES_MAX } from './broker.ts';
import type { Appended, Priority, TopicWrite } from './broker.ts';
import type { BrokerErrorCode } from './errors.ts';
import { BrokerError } from './errors.ts';
import type { LiteTopicName } from './lite-topic.ts';

/** What has to be known of a topic to decide on a write. An engine keeps it, and makes it durable with the records. */
export interface TopicState {
  readonly epoch: string;
  readonly next: number;
  readonly lastMajor: number;
  readonly fence: number;
  /** Of the current fence; 0 until its first fenced append. */
  readonly lastSeq: number;
  /** What the append with `lastSeq` was answered, for all of its writes: the answer to its retry. */
  readonly lastAnswers: readonly Appended[];
}

/** True where no major record stands in `from` to `to` (inclusive). Only asked for ranges below `next`. */
export type IsMinor = (from: number, to: number) => boolean;

export type WriteDecision = { readonly kind: 'accept' } | { readonly kind: 'duplicate'; readonly answer: readonly Appended[] };

export interface PlannedWrite {
  readonly write: TopicWrite;
  readonly created: boolean;
  readonly state: TopicState;
  readonly appended: Appended;
}

export type AppendPlan =
  | { readonly kind: 'accept'; readonly writes: readonly PlannedWrite[]; readonly answers: readonly Appended[] }
  | { readonly kind: 'duplicate'; readonly answers: readonly Appended[] };

/** How a plan looks at the engine's topics. */
export interface TopicsView {
  state(topic: LiteTopicName): TopicState | undefined;
  isMinor(topic: LiteTopicName, from: number, to: number): boolean;
  /** An epoch that this topic never had. */
  newEpoch(): string;
}

export function newTopicState(epoch: string): TopicState {
  return { epoch, next: 0, lastMajor: -1, fence: -1, lastSeq: 0, lastAnswers: [] };
}

/** Where a clustered engine keeps a topic: topics with the same key can be written in one append. */
export function routingKey(topic: LiteTopicName): string {
  return topic.slice(topic.lastIndexOf('/') + 1);
}

/**
 * Decides the whole append and computes what it would leave behind; changes nothing. Retries are recognised over
 * all writes before any other condition is looked at, so the order of the writes does not matter for that.
 * @throws BrokerError epoch-changed, fenced, out-of-sequence, conflict, invalid-append
 */
export function planAppend(writes: readonly TopicWrite[], topics: TopicsView): AppendPlan {
  const retried = writes.filter((write) => isRetry(topics.state(write.topic), write));
  const first = retried[0];
  if (first !== undefined) return { kind: 'duplicate', answers: answersToRetry(writes, retried.length, topics.state(first.topic)) };
  // Filled below, and complete before anybody sees the states that hold it.
  const answers: Appended[] = [];
  const planned: PlannedWrite[] = [];
  for (const write of writes) {
    const state = topics.state(write.topic);
    decideWrite(state, write, (from, to) => topics.isMinor(write.topic, from, to));
    const { state: after, appended } = applyWrite(state ?? newTopicState(topics.newEpoch()), write, answers);
    answers.push(appended);
    planned.push({ write, created: state === undefined, state: after, appended });
  }
  return { kind: 'accept', answers, writes: planned };
}

/**
 * May this write be put on top of this state? In order: the life it expects, its fence and count (which recognises
 * a retry), what it must not have missed, what it supersedes. A validated write only.
 * @throws BrokerError epoch-changed, fenced, out-of-sequence, conflict, invalid-append
 */
export function decideWrite(state: TopicState | undefined, write: TopicWrite, isMinor: IsMinor): WriteDecision {
  if (isRetry(state, write)) return { kind: 'duplicate', answer: state?.lastAnswers ?? [] };
  if ('epoch' in write.expect && state?.epoch !== write.expect.epoch) refuse('epoch-changed', 'the topic is not in the expected epoch');
  if ('absent' in write.expect && state !== undefined) refuse('conflict', 'the topic exists');
  if (write.fence !== undefined && state !== undefined) checkFence(state, write.fence);
  if (write.ifUnchanged !== undefined) {
    if (state?.epoch !== write.ifUnchanged.epoch) refuse('epoch-changed', 'the topic is not in the epoch of ifUnchanged');
    if (state.lastMajor > write.ifUnchanged.offset) refuse('conflict', `a major record stands at ${state.lastMajor}`);
  }
  for (const [from, to] of write.supersedes ?? []) {
    if (to >= (state?.next ?? 0)) refuse('invalid-append', 'supersedes offsets that do not exist yet');
    if (!isMinor(from, to)) refuse('invalid-append', 'a major record cannot be superseded');
  }
  return { kind: 'accept' };
}

/** The state after an accepted write, and its answer. A fenced write keeps the answers of its whole append (`answers`),
 *  because a retry asks for all of them. Spelled out field by field: this is on the path of every token. */
export function applyWrite(state: TopicState, write: TopicWrite, answers: readonly Appended[]): { readonly state: TopicState; readonly appended: Appended } {
  const { epoch, next: first } = state;
  const { records, fence, takeFence = false } = write;
  const next = first + records.length;
  let lastMajor = state.lastMajor;
  for (let i = 0; i < records.length; i++) if (records[i]?.major === true) lastMajor = first + i;
  const after: TopicState = {
    epoch,
    next,
    lastMajor,
    fence: takeFence ? first : state.fence,
    lastSeq: takeFence ? 0 : (fence?.seq ?? state.lastSeq),
    lastAnswers: takeFence ? [] : fence === undefined ? state.lastAnswers : answers,
  };
  return { state: after, appended: { epoch, first, next } };
}

/** @throws BrokerError invalid-append, too-large: what no state of any topic could make acceptable. */
export function validateWrites(writes: readonly TopicWrite[]): void {
  if (writes.length === 0) refuse('invalid-append', 'an append has at least one write');
  if (writes.length > APPEND_WRITES_MAX) refuse('too-large', `an append has at most ${APPEND_WRITES_MAX} writes`);
  if (writes.length > 1) validateTopics(writes);
  for (const write of writes) validateWrite(write);
  validateSize(writes);
}

function validateTopics(writes: readonly TopicWrite[]): void {
  if (new Set(writes.map((write) => write.topic)).size !== writes.length) refuse('invalid-append', 'the topics of an append must differ');
  if (new Set(writes.map((write) => routingKey(write.topic))).size > 1) {
    refuse('invalid-append', 'the topics of an append must share their last segment');
  }
}

function validateWrite(write: TopicWrite): void {
  const empty = write.records.length === 0;
  if (write.takeFence === true && empty) refuse('invalid-append', 'takeFence needs a record: the fence is its offset');
  if (write.takeFence === true && write.fence !== undefined) refuse('invalid-append', 'a write takes a fence or stands under one');
  if (write.fence !== undefined) {
    // A fence is an offset, so it means nothing without the life it belongs to.
    if (!('epoch' in write.expect)) refuse('invalid-append', 'a fence needs the epoch it was taken in');
    if (!isCount(write.fence.fence, 0) || !isCount(write.fence.seq, 1)) refuse('invalid-append', 'fence from 0, seq from 1');
  }
  if (write.ifUnchanged !== undefined && !isCount(write.ifUnchanged.offset, -1)) refuse('invalid-append', 'ifUnchanged has an offset from -1');
  if (write.ttlMs !== undefined && !isCount(write.ttlMs, 1)) refuse('invalid-append', 'ttlMs is a whole number from 1');
  if (write.priority !== undefined && !PRIORITIES.has(write.priority)) refuse('invalid-append', 'no such priority');
  if (write.supersedes !== undefined) validateRanges(write.supersedes, empty);
}

const PRIORITIES: ReadonlySet<Priority> = new Set<Priority>(['high', 'normal', 'low']);

function validateRanges(ranges: readonly (readonly [from: number, to: number])[], emptyWrite: boolean): void {
  if (ranges.length > SUPERSEDES_MAX) refuse('too-large', `a write supersedes at most ${SUPERSEDES_MAX} ranges`);
  if (emptyWrite && ranges.length > 0) refuse('invalid-append', 'superseding needs a record that stands for what it replaces');
  let free = 0;
  for (const [from, to] of ranges) {
    if (!isCount(from, free) || !isCount(to, from)) refuse('invalid-append', 'supersedes are ascending ranges that do not overlap');
    free = to + 1;
  }
}

function validateSize(writes: readonly TopicWrite[]): void {
  let records = 0;
  let bytes = 0;
  for (const write of writes) {
    records += write.records.length;
    if (records > APPEND_RECORDS_MAX) refuse('too-large', `an append has at most ${APPEND_RECORDS_MAX} records`);
    for (const { data } of write.records) {
      const size = Buffer.byteLength(data);
      if (size > RECORD_BYTES_MAX) refuse('too-large', `a record has at most ${RECORD_BYTES_MAX} bytes`);
      if (!data.isWellFormed()) refuse('invalid-append', 'data with a lone surrogate cannot be stored as UTF-8');
      bytes += size;
    }
  }
  if (bytes > APPEND_BYTES_MAX) refuse('too-large', `an append has at most ${APPEND_BYTES_MAX} bytes`);
}

/** The last (fence, seq) again, in the life that it was given in. */
function isRetry(state: TopicState | undefined, write: TopicWrite): boolean {
  if (state === undefined || write.fence === undefined || !('epoch' in write.expect)) return false;
  return state.epoch === write.expect.epoch && state.fence === write.fence.fence && state.lastSeq === write.fence.seq;
}

/** A true retry repeats every write of its append; anything else under the same count is another append. */
function answersToRetry(writes: readonly TopicWrite[], retried: number, state: TopicState | undefined): readonly Appended[] {
  const fenced = writes.filter((write) => write.fence !== undefined).length;
  const answers = state?.lastAnswers ?? [];
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

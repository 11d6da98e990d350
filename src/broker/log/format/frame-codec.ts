// Encodes and decodes one frame of the log. A frame is the atomic unit: one append call, one end of a topic, one step
// of a group. Pure. It stores outcomes (first offset, epoch, expiry) and never conditions, so that replay needs no
// clock, no randomness and no decision. The decoder takes any bytes and throws only `corrupt`.
import {
  APPEND_RECORDS_MAX,
  APPEND_WRITES_MAX,
  RECORD_BYTES_MAX,
  type NewRecord,
  type Priority,
} from '../../broker.ts';
import { BrokerError } from '../../errors.ts';
import type { TopicLife } from '../../lifetime.ts';
import { TOPIC_NAME_BYTES_MAX, type LiteTopicName } from '../../lite-topic.ts';
import { ByteReader } from './byte-reader.ts';
import type { ByteWriter } from './byte-writer.ts';
import { frameChecksum } from './frame-checksum.ts';
import { decodeLife, encodeLife } from './life-codec.ts';
import { decodeRanges, encodeRanges } from './ranges-codec.ts';

/** `[body length, crc32 of the body]` */
export const FRAME_HEAD_BYTES = 8;
const EPOCH_BYTES_MAX = 64;
const GROUP_NAME_BYTES_MAX = 1024;
/** Runs in a moved frame. A run has at most as many records as an append. */
const MOVED_RUNS_MAX = 1024;
const PRIORITIES = ['high', 'normal', 'low'] as const satisfies readonly Priority[];

// The numbers are part of the format: none is ever given to another kind or flag. Format 1 has kinds 1 to 4 and flags 1
// to 64.
const KINDS = { append: 1, ended: 2, group: 3, consumed: 4, moved: 5, delivered: 6, damaged: 7 } as const;
const FLAGS = {
  created: 1,
  takeFence: 2,
  fence: 4,
  supersedes: 8,
  ttl: 16,
  expires: 32,
  priority: 64,
  life: 128,
  beside: 256,
  notBefore: 512,
} as const;
/** All flags. A write with others is corrupt: what they say of the fields behind them is not known. */
const FLAGS_KNOWN = Object.values(FLAGS).reduce((all, flag) => all | flag, 0);

export interface FrameLocation {
  readonly segment: number;
  /** The byte of the frame's head in the segment file. */
  readonly position: number;
  /** Bytes of head and body. */
  readonly length: number;
}

export interface FrameWrite<R> {
  readonly topic: LiteTopicName;
  /** The epoch's base: the epoch without the era that an unclean restart adds. */
  readonly epoch: string;
  /** The era, if the write made the topic. */
  readonly created?: number | undefined;
  readonly first: number;
  readonly takeFence?: true | undefined;
  readonly fence?: { readonly fence: number; readonly seq: number } | undefined;
  readonly supersedes?: readonly (readonly [from: number, to: number])[] | undefined;
  readonly ttlMs?: number | undefined;
  readonly expiresAt?: number | undefined;
  /** What the topic has from this write on besides a plain TTL. */
  readonly life?: TopicLife | undefined;
  /** Groups get no record of the topic before this time: ms since 1970, in the engine's time. */
  readonly notBefore?: number | undefined;
  readonly priority?: Priority | undefined;
  /** The topic's `besideBytes` from this write on. */
  readonly beside?: number | undefined;
  readonly records: readonly R[];
}

/** A record on its way into the log. `size`: UTF-8 bytes of its text, counted once. */
export interface SizedRecord extends NewRecord {
  readonly size: number;
}

/** Where a record's text is in the buffer from which it was decoded. */
export interface StoredRecord {
  readonly major: boolean;
  readonly start: number;
  readonly size: number;
}

export interface EndedFrame {
  readonly kind: 'ended';
  readonly topic: LiteTopicName;
  readonly epoch: string;
  readonly reason: 'expired' | 'removed';
  /** ms since 1970, in the engine's time. The tombstone's time counts from here. */
  readonly at: number;
}

export interface GroupFrame {
  readonly kind: 'group';
  readonly group: string;
  readonly pattern: string;
}

export interface ConsumedFrame {
  readonly kind: 'consumed';
  readonly group: string;
  readonly topic: LiteTopicName;
  readonly epoch: string;
  /** The first offset that the group has not consumed. */
  readonly next: number;
}

/** How far a group is with the first record of a topic that it has not consumed. */
export interface DeliveredFrame {
  readonly kind: 'delivered';
  readonly group: string;
  readonly topic: LiteTopicName;
  readonly epoch: string;
  readonly offset: number;
  readonly attempts: number;
  /** The record is not delivered before this time: ms since 1970, in the engine's time. 0: at once. */
  readonly notBefore: number;
}

/** Records of a topic cannot be read back. From here on the topic has another epoch, and these offsets are lost. */
export interface DamagedFrame {
  readonly kind: 'damaged';
  readonly topic: LiteTopicName;
  readonly epoch: string;
  readonly ranges: readonly (readonly [from: number, to: number])[];
}

export interface AppendFrame<R> {
  readonly kind: 'append';
  readonly writes: readonly FrameWrite<R>[];
}

/** Records of one topic once more, so that the segment that held them can be removed. Their offsets, their epoch and
 *  their text are what they were. */
export interface MovedFrame<R> {
  readonly kind: 'moved';
  /** The segment that held them. */
  readonly from: number;
  readonly topic: LiteTopicName;
  /** The epoch's base. */
  readonly epoch: string;
  readonly runs: readonly MovedRun<R>[];
}

/** Records with adjacent offsets. */
export interface MovedRun<R> {
  readonly first: number;
  readonly records: readonly R[];
}

export type Frame<R> =
  AppendFrame<R> | EndedFrame | GroupFrame | ConsumedFrame | DeliveredFrame | MovedFrame<R> | DamagedFrame;

/** Writes head and body. Returns the length of the whole frame. */
export function encodeFrame(into: ByteWriter, frame: Frame<SizedRecord>): number {
  const start = beginFrame(into, frame.kind);
  switch (frame.kind) {
    case 'append':
      into.byte(frame.writes.length);
      for (const write of frame.writes) encodeWrite(into, write);
      break;
    case 'ended':
      into.name(frame.topic);
      into.name(frame.epoch);
      into.byte(frame.reason === 'expired' ? 1 : 0);
      into.varint(frame.at);
      break;
    case 'group':
      into.name(frame.group);
      into.name(frame.pattern);
      break;
    case 'consumed':
      into.name(frame.group);
      into.name(frame.topic);
      into.name(frame.epoch);
      into.varint(frame.next);
      break;
    case 'delivered':
      into.name(frame.group);
      into.name(frame.topic);
      into.name(frame.epoch);
      into.varint(frame.offset);
      into.varint(frame.attempts);
      into.varint(frame.notBefore);
      break;
    case 'moved':
      encodeMoved(into, frame);
      break;
    case 'damaged':
      into.name(frame.topic);
      into.name(frame.epoch);
      encodeRanges(into, frame.ranges);
      break;
  }
  return endFrame(into, start);
}

/** Writes `{ kind: 'append', writes: [write] }`, the frame of most appends, without these two objects.
 *  (hot: ADR 7 §12) */
export function encodeOneWrite(into: ByteWriter, write: FrameWrite<SizedRecord>): void {
  const start = beginFrame(into, 'append');
  into.byte(1);
  encodeWrite(into, write);
  endFrame(into, start);
}

/** Returns where the frame begins. */
function beginFrame(into: ByteWriter, kind: Frame<never>['kind']): number {
  const start = into.length;
  into.skip(FRAME_HEAD_BYTES);
  into.byte(KINDS[kind]);
  return start;
}

/** Fills in the head. Returns the length of the whole frame. */
function endFrame(into: ByteWriter, start: number): number {
  const length = into.length - start;
  into.patchUint32(start, length - FRAME_HEAD_BYTES);
  into.patchUint32(start + 4, into.checksum(start + FRAME_HEAD_BYTES));
  return length;
}

function encodeWrite(into: ByteWriter, write: FrameWrite<SizedRecord>): void {
  into.name(write.topic);
  into.name(write.epoch);
  into.varint(
    (write.created === undefined ? 0 : FLAGS.created) |
      (write.takeFence === true ? FLAGS.takeFence : 0) |
      (write.fence === undefined ? 0 : FLAGS.fence) |
      (write.supersedes === undefined ? 0 : FLAGS.supersedes) |
      (write.ttlMs === undefined ? 0 : FLAGS.ttl) |
      (write.expiresAt === undefined ? 0 : FLAGS.expires) |
      (write.priority === undefined ? 0 : FLAGS.priority) |
      (write.life === undefined ? 0 : FLAGS.life) |
      (write.beside === undefined ? 0 : FLAGS.beside) |
      (write.notBefore === undefined ? 0 : FLAGS.notBefore),
  );
  if (write.created !== undefined) into.varint(write.created);
  into.varint(write.first);
  if (write.fence !== undefined) {
    into.varint(write.fence.fence);
    into.varint(write.fence.seq);
  }
  if (write.supersedes !== undefined) encodeRanges(into, write.supersedes);
  if (write.ttlMs !== undefined) into.varint(write.ttlMs);
  if (write.expiresAt !== undefined) into.varint(write.expiresAt);
  if (write.priority !== undefined) into.byte(PRIORITIES.indexOf(write.priority));
  if (write.life !== undefined) encodeLife(into, write.life);
  if (write.beside !== undefined) into.varint(write.beside);
  if (write.notBefore !== undefined) into.varint(write.notBefore);
  into.varint(write.records.length);
  for (const { data, size, major } of write.records) into.flaggedText(data, size, major);
}

function encodeMoved(into: ByteWriter, { from, topic, epoch, runs }: MovedFrame<SizedRecord>): void {
  into.varint(from);
  into.name(topic);
  into.name(epoch);
  into.varint(runs.length);
  for (const { first, records } of runs) {
    into.varint(first);
    into.varint(records.length);
    for (const { data, size, major } of records) into.flaggedText(data, size, major);
  }
}

export interface FrameSlice {
  /** Where the body begins in the buffer. */
  readonly bodyStart: number;
  readonly end: number;
}

/** Checks the frame that begins at `at`. @throws BrokerError corrupt: the frame does not fit, or its checksum is
 *  wrong */
export function sliceFrame(buffer: Buffer, at: number, end = buffer.length): FrameSlice {
  if (end - at < FRAME_HEAD_BYTES) throw new BrokerError('corrupt', 'a frame ends too early');
  const length = buffer.readUInt32LE(at);
  const bodyStart = at + FRAME_HEAD_BYTES;
  if (length === 0 || length > end - bodyStart) throw new BrokerError('corrupt', 'a frame ends too early');
  if (frameChecksum(buffer, bodyStart, bodyStart + length) !== buffer.readUInt32LE(at + 4)) {
    throw new BrokerError('corrupt', 'a frame does not match its checksum');
  }
  return { bodyStart, end: bodyStart + length };
}

/** Decodes the body between `from` and `to`. Offsets in StoredRecord are offsets into `buffer`. @throws BrokerError
 *  corrupt */
export function decodeFrame(buffer: Buffer, from: number, to: number): Frame<StoredRecord> {
  const reader = new ByteReader(buffer, from, to);
  const frame = decodeBody(reader);
  if (reader.left !== 0) throw new BrokerError('corrupt', 'a frame has bytes left over');
  return frame;
}

function decodeBody(reader: ByteReader): Frame<StoredRecord> {
  const kind = reader.byte();
  switch (kind) {
    case KINDS.append: {
      const count = reader.byte();
      if (count === 0 || count > APPEND_WRITES_MAX) throw new BrokerError('corrupt', 'not a number of writes');
      return { kind: 'append', writes: Array.from({ length: count }, () => decodeWrite(reader)) };
    }
    case KINDS.ended: {
      const [topic, epoch] = [topicName(reader), reader.name(EPOCH_BYTES_MAX)];
      return { kind: 'ended', topic, epoch, reason: reader.byte() === 1 ? 'expired' : 'removed', at: reader.varint() };
    }
    case KINDS.group:
      return { kind: 'group', group: reader.name(GROUP_NAME_BYTES_MAX), pattern: reader.name(TOPIC_NAME_BYTES_MAX) };
    case KINDS.consumed: {
      const [group, topic] = [reader.name(GROUP_NAME_BYTES_MAX), topicName(reader)];
      return { kind: 'consumed', group, topic, epoch: reader.name(EPOCH_BYTES_MAX), next: reader.varint() };
    }
    case KINDS.delivered: {
      const [group, topic] = [reader.name(GROUP_NAME_BYTES_MAX), topicName(reader)];
      const [epoch, offset] = [reader.name(EPOCH_BYTES_MAX), reader.varint()];
      return { kind: 'delivered', group, topic, epoch, offset, attempts: reader.varint(), notBefore: reader.varint() };
    }
    case KINDS.moved:
      return decodeMoved(reader);
    case KINDS.damaged: {
      const [topic, epoch] = [topicName(reader), reader.name(EPOCH_BYTES_MAX)];
      return { kind: 'damaged', topic, epoch, ranges: decodeRanges(reader) };
    }
    default:
      throw new BrokerError('corrupt', `no such kind of frame: ${kind}`);
  }
}

function decodeWrite(reader: ByteReader): FrameWrite<StoredRecord> {
  const topic = topicName(reader);
  const epoch = reader.name(EPOCH_BYTES_MAX);
  const flags = reader.varint();
  if (flags > FLAGS_KNOWN) throw new BrokerError('corrupt', 'a write has flags of another version');
  const created = (flags & FLAGS.created) === 0 ? undefined : reader.varint();
  const first = reader.varint();
  const fence = (flags & FLAGS.fence) === 0 ? undefined : { fence: reader.varint(), seq: reader.varint() };
  const supersedes = (flags & FLAGS.supersedes) === 0 ? undefined : decodeRanges(reader);
  const ttlMs = (flags & FLAGS.ttl) === 0 ? undefined : reader.varint();
  const expiresAt = (flags & FLAGS.expires) === 0 ? undefined : reader.varint();
  const priority = (flags & FLAGS.priority) === 0 ? undefined : decodePriority(reader);
  const life = (flags & FLAGS.life) === 0 ? undefined : decodeLife(reader);
  const beside = (flags & FLAGS.beside) === 0 ? undefined : reader.varint();
  const notBefore = (flags & FLAGS.notBefore) === 0 ? undefined : reader.varint();
  const takeFence = (flags & FLAGS.takeFence) === 0 ? undefined : true;
  const records = decodeRecords(reader, first);
  const lifetime = { ttlMs, expiresAt, life, notBefore };
  return { topic, epoch, created, first, takeFence, fence, supersedes, ...lifetime, priority, beside, records };
}

function decodeMoved(reader: ByteReader): MovedFrame<StoredRecord> {
  const from = reader.varint();
  const [topic, epoch] = [topicName(reader), reader.name(EPOCH_BYTES_MAX)];
  const runs = Array.from({ length: reader.count(MOVED_RUNS_MAX) }, () => {
    const first = reader.varint();
    return { first, records: decodeRecords(reader, first) };
  });
  return { kind: 'moved', from, topic, epoch, runs };
}

function decodeRecords(reader: ByteReader, first: number): StoredRecord[] {
  const records = Array.from({ length: reader.count(APPEND_RECORDS_MAX) }, () => decodeRecord(reader));
  if (first + records.length > Number.MAX_SAFE_INTEGER) throw new BrokerError('corrupt', 'an offset is too large');
  return records;
}

function decodeRecord(reader: ByteReader): StoredRecord {
  const head = reader.varint();
  const size = Math.floor(head / 2);
  if (size > RECORD_BYTES_MAX) throw new BrokerError('corrupt', 'a record is too large');
  const start = reader.at;
  reader.skip(size);
  return { major: head % 2 === 1, start, size };
}

function decodePriority(reader: ByteReader): Priority {
  const priority = PRIORITIES[reader.byte()];
  if (priority === undefined) throw new BrokerError('corrupt', 'no such priority');
  return priority;
}

/** The alphabet was checked before the name was written, and the checksum proves that it has not changed. */
function topicName(reader: ByteReader): LiteTopicName {
  return reader.name(TOPIC_NAME_BYTES_MAX) as LiteTopicName;
}

export function recordText(buffer: Buffer, record: StoredRecord): string {
  return buffer.toString('utf8', record.start, record.start + record.size);
}

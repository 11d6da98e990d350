// Plans a read in one turn of the event loop, from the record chunks alone: which records and holes it returns, how far
// it goes, and which of the records are not in memory. Filling in those records (cold-reads.ts) takes time and does not
// change the plan, so a reader gets the topic as it was at one moment.
import { READ_BYTES, READ_RECORDS } from '../../broker.ts';
import type { LogBatch, LogItem, ReadFrom, ReadOptions, Reset, ResetReason } from '../../broker.ts';
import type { FrameLocation } from '../format/frame-codec.ts';
import { CHUNK_RECORDS, LOST } from '../topics/record-chunk.ts';
import { epochText, type Topic, type TopicVersion } from '../topics/topic.ts';

/** A record of the plan that is not in memory. */
export interface ColdRecord {
  /** The index of the record in the batch. */
  readonly at: number;
  readonly offset: number;
  readonly major: boolean;
  readonly location: FrameLocation;
}

export interface ReadPlan {
  readonly kind: 'plan';
  readonly epoch: string;
  readonly base: string;
  readonly items: LogItem[];
  readonly cold: readonly ColdRecord[];
  readonly next: number;
  readonly end: boolean;
}

/** @throws BrokerError corrupt: the index does not match its own counts */
export function planRead(topic: Topic, version: TopicVersion, from: ReadFrom, options: ReadOptions): ReadPlan | Reset {
  const { state } = version;
  if (typeof from === 'object' && from.epoch !== state.epoch)
    return resetOf(version, wasDamagedSince(version, from.epoch) ? 'damaged' : 'epoch-changed');
  if (typeof from === 'object' && from.offset > state.next) return resetOf(version, 'ahead-of-log');
  const step = options.direction === 'backward' ? -1 : 1;
  const walk = new Walk(topic, version, step, options);
  walk.run(startOf(from, state.next, step));
  return walk;
}

/** Whether `epoch` is an earlier epoch of this version, before records of it were declared as lost. */
function wasDamagedSince({ base, damages }: TopicVersion, epoch: string): boolean {
  const [text] = epoch.split('-');
  for (let earlier = 0; earlier < damages; earlier++) if (text === epochText(base, earlier)) return true;
  return false;
}

export function resetOf({ state }: TopicVersion, reason: ResetReason): Reset {
  return { kind: 'reset', reason, epoch: state.epoch, earliest: 0, next: state.next };
}

export function batchOf({ epoch, items, next, end }: ReadPlan): LogBatch {
  return { kind: 'batch', epoch, items, next, end };
}

function startOf(from: ReadFrom, next: number, step: 1 | -1): number {
  if (from === 'earliest') return 0;
  if (from === 'end') return next - 1;
  return step > 0 ? Math.max(0, from.offset) : Math.min(from.offset, next - 1);
}

const NONE: readonly ColdRecord[] = [];

/** Walks over the offsets and is the plan afterwards. Its lists are allocated for the one item of a live read. */
class Walk implements ReadPlan {
  readonly kind = 'plan';
  readonly epoch: string;
  readonly base: string;
  items: LogItem[] = [];
  next = 0;
  readonly #topic: Topic;
  readonly #head: number;
  readonly #step: 1 | -1;
  readonly #options: ReadOptions;
  #cold: ColdRecord[] | undefined;
  #bytes = 0;

  constructor(topic: Topic, { state, base }: TopicVersion, step: 1 | -1, options: ReadOptions) {
    this.epoch = state.epoch;
    this.base = base;
    this.#topic = topic;
    this.#head = state.next;
    this.#step = step;
    this.#options = options;
  }

  get cold(): readonly ColdRecord[] {
    return this.#cold ?? NONE;
  }

  get end(): boolean {
    return this.next < 0 || this.next >= this.#head;
  }

  /** Walks from an offset until a limit or the end. */
  run(start: number): void {
    const { maxBytes = READ_BYTES, maxRecords = READ_RECORDS } = this.#options;
    let at = this.#wanted(start);
    while (at >= 0 && at < this.#head) {
      const chunk = this.#topic.chunkOf(at);
      const slot = at % CHUNK_RECORDS;
      const size = chunk.size(slot);
      this.#bytes += size;
      if (this.items.length > 0 && (this.items.length >= maxRecords || this.#bytes > maxBytes)) break;
      const by = chunk.holeBy(slot);
      if (by >= 0) at = this.#hole(at, by);
      else this.#record(at, chunk.isMajor(slot));
      at = this.#wanted(at + this.#step);
    }
    this.next = at;
  }

  #add(item: LogItem): void {
    if (this.items.length === 0) this.items = [item];
    else this.items.push(item);
  }

  #record(offset: number, major: boolean): void {
    const cached = this.#topic.lastRecord;
    if (cached?.offset === offset) {
      this.#add(cached);
      return;
    }
    const location = this.#topic.chunkOf(offset).location(offset % CHUNK_RECORDS);
    const cold = { at: this.items.length, offset, major, location };
    if (this.#cold === undefined) this.#cold = [cold];
    else this.#cold.push(cold);
    this.#add({ kind: 'record', offset, major, data: '' });
  }

  /** Adds the part of a hole or of a lost range that is in reading direction, across chunks. Returns its far end. */
  #hole(offset: number, by: number): number {
    let last = offset;
    for (let at = offset + this.#step; at >= 0 && at < this.#head; at += this.#step) {
      if (this.#topic.chunkOf(at).holeBy(at % CHUNK_RECORDS) !== by) break;
      last = at;
    }
    const [from, to] = [Math.min(offset, last), Math.max(offset, last)];
    this.#add(by === LOST ? { kind: 'lost', from, to } : { kind: 'hole', from, to, by });
    return last;
  }

  /** The next offset that the reader wants. A read of majors only skips whole chunks that have none, and stops at lost
   *  offsets: a major may be among them. */
  #wanted(offset: number): number {
    if (this.#options.majorOnly !== true) return offset;
    let at = offset;
    while (at >= 0 && at < this.#head) {
      const chunk = this.#topic.chunkOf(at);
      if (!chunk.hasMajors && !chunk.hasLost)
        at = this.#step > 0 ? (chunk.index + 1) * CHUNK_RECORDS : chunk.index * CHUNK_RECORDS - 1;
      else if (chunk.isMajor(at % CHUNK_RECORDS) || chunk.holeBy(at % CHUNK_RECORDS) === LOST) return at;
      else at += this.#step;
    }
    return Math.min(at, this.#head);
  }
}

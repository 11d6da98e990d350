// What a read will give, decided in one turn of the event loop from the index: which records and holes, how far, and
// which of the records are not in memory. Filling those in (cold-reads.ts) takes time and changes nothing of this,
// so a reader gets the topic as it was at one moment.
import type { LogBatch, LogItem, ReadFrom, ReadOptions, Reset, ResetReason } from '../broker.ts';
import { CHUNK_RECORDS, type FrameLocation } from './record-chunk.ts';
import type { Topic, TopicVersion } from './topic.ts';

const READ_BYTES = 256 * 1024;
const READ_RECORDS = 4096;

/** A record of the plan that has to come from the disk. */
export interface ColdRecord {
  /** Its place in the batch. */
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
  readonly cold: ColdRecord[];
  readonly next: number;
  readonly end: boolean;
}

/** @throws BrokerError corrupt: the index does not match its own counts. */
export function planRead(topic: Topic, version: TopicVersion, from: ReadFrom, options: ReadOptions): ReadPlan | Reset {
  const { state } = version;
  if (typeof from === 'object' && from.epoch !== state.epoch) return resetOf(version, 'epoch-changed');
  if (typeof from === 'object' && from.offset > state.next) return resetOf(version, 'ahead-of-log');
  const step = options.direction === 'backward' ? -1 : 1;
  const walk = new Walk(topic, state.next, step, options);
  const next = walk.run(startOf(from, state.next, step));
  const { items, cold } = walk;
  return { kind: 'plan', epoch: state.epoch, base: version.base, items, cold, next, end: next < 0 || next >= state.next };
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

class Walk {
  readonly items: LogItem[] = [];
  readonly cold: ColdRecord[] = [];
  readonly #topic: Topic;
  readonly #next: number;
  readonly #step: 1 | -1;
  readonly #maxBytes: number;
  readonly #maxRecords: number;
  readonly #majorOnly: boolean;
  #bytes = 0;

  constructor(topic: Topic, next: number, step: 1 | -1, options: ReadOptions) {
    this.#topic = topic;
    this.#next = next;
    this.#step = step;
    this.#maxBytes = options.maxBytes ?? READ_BYTES;
    this.#maxRecords = options.maxRecords ?? READ_RECORDS;
    this.#majorOnly = options.majorOnly ?? false;
  }

  /** From an offset until a limit or the end; gives where to go on. */
  run(start: number): number {
    let at = this.#wanted(start);
    while (at >= 0 && at < this.#next) {
      const chunk = this.#topic.chunkOf(at);
      const slot = at % CHUNK_RECORDS;
      const size = chunk.size(slot);
      this.#bytes += size;
      if (this.items.length > 0 && (this.items.length >= this.#maxRecords || this.#bytes > this.#maxBytes)) break;
      const by = chunk.holeBy(slot);
      if (by >= 0) at = this.#hole(at, by);
      else this.#record(at, chunk.isMajor(slot));
      at = this.#wanted(at + this.#step);
    }
    return at;
  }

  #record(offset: number, major: boolean): void {
    const hot = this.#topic.hotRecord(offset);
    if (hot !== undefined) {
      this.items.push(hot);
      return;
    }
    const location = this.#topic.chunkOf(offset).location(offset % CHUNK_RECORDS);
    this.cold.push({ at: this.items.length, offset, major, location });
    this.items.push({ kind: 'record', offset, major, data: '' });
  }

  /** The part of the hole that lies in reading direction, across chunks. Gives its far end. */
  #hole(offset: number, by: number): number {
    let last = offset;
    for (let at = offset + this.#step; at >= 0 && at < this.#next; at += this.#step) {
      if (this.#topic.chunkOf(at).holeBy(at % CHUNK_RECORDS) !== by) break;
      last = at;
    }
    this.items.push({ kind: 'hole', from: Math.min(offset, last), to: Math.max(offset, last), by });
    return last;
  }

  /** The next offset that the reader wants: for majors only, chunks without any are stepped over whole. */
  #wanted(offset: number): number {
    if (!this.#majorOnly) return offset;
    let at = offset;
    while (at >= 0 && at < this.#next) {
      const chunk = this.#topic.chunkOf(at);
      if (!chunk.hasMajors) at = this.#step > 0 ? (chunk.index + 1) * CHUNK_RECORDS : chunk.index * CHUNK_RECORDS - 1;
      else if (chunk.isMajor(at % CHUNK_RECORDS)) return at;
      else at += this.#step;
    }
    return Math.min(at, this.#next);
  }
}

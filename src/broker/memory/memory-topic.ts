// One topic in memory: its records by offset, what replaced the superseded ones, and how they are read. It owns neither
// time nor waiting readers.
import { newTopicState } from '../append-rules.ts';
import type { PlannedWrite, TopicState } from '../append-rules.ts';
import { READ_BYTES, READ_RECORDS } from '../broker.ts';
import type { LogBatch, LogItem, NewRecord, Priority, ReadFrom, ReadOptions, Reset, ResetReason } from '../broker.ts';

/** A record; for a superseded one, the first offset of the write that replaced it. */
type Slot = NewRecord | number;

export class MemoryTopic {
  state: TopicState;
  priority: Priority = 'normal';
  ttlMs: number | undefined;
  /** Monotonic: groups get no record before. */
  notBefore = -Infinity;
  bytes = 0;
  readonly #slots: Slot[] = [];
  readonly #majors: number[] = [];

  constructor(epoch: string) {
    this.state = newTopicState(epoch);
  }

  apply({ write, state, appended }: PlannedWrite): void {
    for (const [from, to] of write.supersedes ?? []) {
      for (let offset = from; offset <= to; offset += 1) {
        this.bytes -= sizeOf(this.#slots[offset]);
        this.#slots[offset] = appended.first;
      }
    }
    for (const { major, data } of write.records) {
      if (major) this.#majors.push(this.#slots.length);
      this.#slots.push({ major, data });
      this.bytes += Buffer.byteLength(data);
    }
    this.state = state;
    this.priority = write.priority ?? this.priority;
    this.ttlMs = write.ttlMs ?? this.ttlMs;
  }

  isMinor(from: number, to: number): boolean {
    return this.#majorFrom(from, 1) > to;
  }

  read(from: ReadFrom, options: ReadOptions): LogBatch | Reset {
    if (typeof from === 'object' && from.epoch !== this.state.epoch) return this.reset('epoch-changed');
    if (typeof from === 'object' && from.offset > this.state.next) return this.reset('ahead-of-log');
    const { direction = 'forward', maxBytes = READ_BYTES, maxRecords = READ_RECORDS, majorOnly = false } = options;
    const step = direction === 'forward' ? 1 : -1;
    const wanted = (offset: number): number => (majorOnly ? this.#majorFrom(offset, step) : offset);
    const items: LogItem[] = [];
    let bytes = 0;
    let at = wanted(this.#start(from, step));
    for (let slot = this.#slots[at]; slot !== undefined; slot = this.#slots[at]) {
      bytes += sizeOf(slot);
      if (items.length > 0 && (items.length >= maxRecords || bytes > maxBytes)) break;
      const item = this.#item(at, step, slot);
      items.push(item);
      at = wanted((item.kind === 'record' ? item.offset : step > 0 ? item.to : item.from) + step);
    }
    return { kind: 'batch', epoch: this.state.epoch, items, next: at, end: this.#slots[at] === undefined };
  }

  reset(reason: ResetReason): Reset {
    return { kind: 'reset', reason, epoch: this.state.epoch, earliest: 0, next: this.state.next };
  }

  #start(from: ReadFrom, step: 1 | -1): number {
    if (from === 'earliest') return 0;
    if (from === 'end') return this.state.next - 1;
    return step > 0 ? Math.max(0, from.offset) : Math.min(from.offset, this.state.next - 1);
  }

  /** Forward: the first major record at or after the offset, or `next`. Backward: the last one at or before it, or
   *  -1. */
  #majorFrom(offset: number, step: 1 | -1): number {
    let low = 0;
    let high = this.#majors.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#majors[middle] ?? 0) < offset + (step > 0 ? 0 : 1)) low = middle + 1;
      else high = middle;
    }
    return step > 0 ? (this.#majors[low] ?? this.state.next) : (this.#majors[low - 1] ?? -1);
  }

  /** The item at an offset: a record, or the part of a hole that lies in reading direction. */
  #item(offset: number, step: 1 | -1, slot: Slot): LogItem {
    if (typeof slot !== 'number') return { kind: 'record', offset, ...slot };
    let last = offset;
    while (this.#slots[last + step] === slot) last += step;
    return { kind: 'hole', from: Math.min(offset, last), to: Math.max(offset, last), by: slot };
  }
}

function sizeOf(slot: Slot | undefined): number {
  return typeof slot === 'object' ? Buffer.byteLength(slot.data) : 0;
}

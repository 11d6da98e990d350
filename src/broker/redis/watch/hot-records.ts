// The newest records of one topic as they were published: contiguous, of one epoch, and bounded. A reader whose
// position is not within them reads the log.
import type { LogBatch, LogRecord } from '../../broker.ts';
import type { Position } from '../../position.ts';
import type { AddMessage } from './watch-message.ts';

/** The most characters and records that one topic keeps in memory for its readers. */
const CHARS_MAX = 32 * 1024;
const RECORDS_MAX = 256;

export class HotRecords {
  epoch: string | undefined;
  /** The offset of the topic's next record, as far as this node knows. */
  next = 0;
  #records: LogRecord[] = [];
  #chars = 0;

  add({ epoch, first, next, supersedes, records }: AddMessage): void {
    if (epoch !== this.epoch || first !== this.next || supersedes || records === undefined) this.#clear();
    this.epoch = epoch;
    this.next = next;
    if (records === undefined) return;
    for (const record of records) {
      this.#records.push(record);
      this.#chars += record.data.length;
    }
    if (this.#chars > CHARS_MAX || this.#records.length > RECORDS_MAX) this.#trim();
  }

  /** The topic exists, and no record of it is in memory. */
  restart(epoch: string, next: number): void {
    this.#clear();
    this.epoch = epoch;
    this.next = next;
  }

  forget(): void {
    this.#clear();
    this.epoch = undefined;
  }

  /** The records from a position: none where nothing is new, undefined where the log must be read. */
  from({ epoch, offset }: Position, majorOnly: boolean): LogBatch | undefined {
    if (epoch !== this.epoch) return undefined;
    if (offset >= this.next) return { kind: 'batch', epoch, items: [], next: offset, end: true };
    const skip = offset - (this.next - this.#records.length);
    if (skip < 0) return undefined;
    const records = skip === 0 ? this.#records.slice() : this.#records.slice(skip);
    return {
      kind: 'batch',
      epoch,
      items: majorOnly ? records.filter(({ major }) => major) : records,
      next: this.next,
      end: true,
    };
  }

  /** Drops the older half, again and again until both limits hold. */
  #trim(): void {
    while (this.#records.length > 0 && (this.#chars > CHARS_MAX || this.#records.length > RECORDS_MAX)) {
      for (const { data } of this.#records.splice(0, Math.ceil(this.#records.length / 2))) this.#chars -= data.length;
    }
  }

  #clear(): void {
    this.#records = [];
    this.#chars = 0;
  }
}

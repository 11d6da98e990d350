// The most recent records of active topics as ready-made objects, so that live readers never touch the disk.
// A cache: whatever is dropped here is read from the log instead. Bounded per topic and, by HotMemory, for all.
import type { LogRecord } from '../broker.ts';

/** What an object and a string cost beside their text. */
const RECORD_OVERHEAD_BYTES = 96;

export class HotMemory {
  readonly #topicBytesMax: number;
  readonly #bytesMax: number;
  readonly #tails = new Set<HotTail>();
  #bytes = 0;

  constructor(topicBytesMax: number, bytesMax: number) {
    this.#topicBytesMax = topicBytesMax;
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Called after each push: the clock algorithm, so that a push costs a flag and not a move in a list. */
  account(tail: HotTail, bytes: number): void {
    if (bytes > 0 && !tail.isHeld) {
      tail.isHeld = true;
      this.#tails.add(tail);
    }
    this.#bytes += bytes;
    if (tail.bytes > this.#topicBytesMax) this.#bytes -= tail.trimTo(this.#topicBytesMax / 2, 1);
    if (this.#bytes > this.#bytesMax) this.#evict(tail);
  }

  forget(tail: HotTail): void {
    this.#tails.delete(tail);
    tail.isHeld = false;
    this.#bytes -= tail.bytes;
  }

  #evict(pushed: HotTail): void {
    for (const tail of this.#tails) {
      if (this.#bytes <= this.#bytesMax) return;
      this.#tails.delete(tail);
      tail.isHeld = false;
      if (tail.usedSinceSweep || tail === pushed) {
        tail.usedSinceSweep = false;
        this.#tails.add(tail);
        tail.isHeld = true;
        // A set visits again what is added while it is walked: without this an only tail would be walked for ever.
        if (tail === pushed) this.#bytes -= tail.trimTo(Math.floor(tail.bytes / 2));
      } else this.#bytes -= tail.trimTo(0);
    }
  }
}

export class HotTail {
  readonly #memory: HotMemory;
  /** Superseded records leave `undefined` behind. */
  #records: (LogRecord | undefined)[] = [];
  #first: number;
  bytes = 0;
  usedSinceSweep = false;
  /** Known to the memory that counts it. */
  isHeld = false;

  constructor(memory: HotMemory, next: number) {
    this.#memory = memory;
    this.#first = next;
  }

  /** Offset of the first record that may be held; everything from here to the topic's end is held or in a hole. */
  get first(): number {
    return this.#first;
  }

  get(offset: number): LogRecord | undefined {
    return offset < this.#first ? undefined : this.#records[offset - this.#first];
  }

  push(record: LogRecord): void {
    this.#records.push(record);
    const bytes = costOf(record);
    this.bytes += bytes;
    this.usedSinceSweep = true;
    this.#memory.account(this, bytes);
  }

  /** A superseded record must not be served from memory as if it still stood. */
  drop(offset: number): void {
    const record = this.get(offset);
    if (record === undefined) return;
    this.#records[offset - this.#first] = undefined;
    const bytes = costOf(record);
    this.bytes -= bytes;
    this.#memory.account(this, -bytes);
  }

  /** Lets go of the oldest until at most `bytes` or `keep` records are held, and says how many bytes went. Whatever its
   *  size, the newest is what live readers are about to ask for. */
  trimTo(bytes: number, keep = 0): number {
    const before = this.bytes;
    let drop = 0;
    while (this.bytes > bytes && drop < this.#records.length - keep) {
      const record = this.#records[drop++];
      if (record !== undefined) this.bytes -= costOf(record);
    }
    this.#records = this.#records.slice(drop);
    this.#first += drop;
    return before - this.bytes;
  }
}

function costOf(record: LogRecord): number {
  return record.data.length + RECORD_OVERHEAD_BYTES;
}

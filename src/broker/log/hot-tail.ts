// The most recent records of active topics, so that readers that keep up never touch the disk. The newest is an object,
// because it is about to be asked for; the others are bytes outside of the heap, because objects that live for seconds
// are what a garbage collector is worst at. A cache: whatever is dropped here is read from the log instead. Bounded
// per topic and, by HotMemory, for all.
import type { LogRecord } from '../broker.ts';

/** Words per record: where its text begins, and its size in bytes times two, plus one for a major. */
const WORDS = 2;
const RECORD_OVERHEAD_BYTES = WORDS * 4;
/** A superseded record's second word. */
const GONE = 2 ** 32 - 1;
const TEXT_BYTES_AT_FIRST = 512;
const RECORDS_AT_FIRST = 8;
/** Of UTF-8, per UTF-16 code unit. Room is made for that much of a short text rather than counting it. */
const BYTES_PER_UNIT_MAX = 3;
const SHORT_UNITS_MAX = 512;
/** A buffer of which less than this share is used is given back when records go. */
const USED_SHARE_MIN = 0.25;

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
  /** The newest, also in the bytes. */
  #newest: LogRecord | undefined;
  #text = Buffer.alloc(0);
  #used = 0;
  #words = new Uint32Array(0);
  #count = 0;
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
    if (this.#newest?.offset === offset) return this.#newest;
    const at = (offset - this.#first) * WORDS;
    const word = offset < this.#first || offset >= this.#first + this.#count ? GONE : (this.#words[at + 1] ?? GONE);
    if (word === GONE) return undefined;
    const start = this.#words[at] ?? 0;
    return { kind: 'record', offset, major: word % 2 === 1, data: this.#text.toString('utf8', start, start + (word >>> 1)) };
  }

  push(record: LogRecord): void {
    const { data, major } = record;
    this.#reserve(data.length > SHORT_UNITS_MAX ? Buffer.byteLength(data) : data.length * BYTES_PER_UNIT_MAX);
    const size = this.#text.write(data, this.#used);
    const at = this.#count * WORDS;
    this.#words[at] = this.#used;
    this.#words[at + 1] = size * 2 + (major ? 1 : 0);
    this.#used += size;
    this.#count += 1;
    this.#newest = record;
    this.bytes += size + RECORD_OVERHEAD_BYTES;
    this.usedSinceSweep = true;
    this.#memory.account(this, size + RECORD_OVERHEAD_BYTES);
  }

  /** A superseded record must not be served from memory as if it still stood. Its text stays until it is trimmed. */
  drop(offset: number): void {
    if (this.#newest?.offset === offset) this.#newest = undefined;
    const at = (offset - this.#first) * WORDS;
    const word = offset < this.#first || offset >= this.#first + this.#count ? GONE : (this.#words[at + 1] ?? GONE);
    if (word === GONE) return;
    this.#words[at + 1] = GONE;
    const bytes = (word >>> 1) + RECORD_OVERHEAD_BYTES;
    this.bytes -= bytes;
    this.#memory.account(this, -bytes);
  }

  /** Lets go of the oldest until at most `bytes` or `keep` records are held, and says how many bytes went. Whatever its
   *  size, the newest is what live readers are about to ask for. */
  trimTo(bytes: number, keep = 0): number {
    const before = this.bytes;
    let dropped = 0;
    for (; this.bytes > bytes && dropped < this.#count - keep; dropped += 1) {
      const word = this.#words[dropped * WORDS + 1] ?? GONE;
      if (word !== GONE) this.bytes -= (word >>> 1) + RECORD_OVERHEAD_BYTES;
    }
    this.#forget(dropped);
    return before - this.bytes;
  }

  #forget(oldest: number): void {
    this.#first += oldest;
    this.#count -= oldest;
    if (this.#count === 0) {
      [this.#newest, this.#text, this.#words, this.#used] = [undefined, Buffer.alloc(0), new Uint32Array(0), 0];
      return;
    }
    const start = this.#words[oldest * WORDS] ?? 0;
    this.#moveText(start);
    this.#words.copyWithin(0, oldest * WORDS, (oldest + this.#count) * WORDS);
    for (let i = 0; i < this.#count; i++) this.#words[i * WORDS] = (this.#words[i * WORDS] ?? 0) - start;
  }

  /** What begins at `start` comes to the front, in a smaller buffer if that one is mostly empty. */
  #moveText(start: number): void {
    const used = this.#used - start;
    const isLarge = used < this.#text.length * USED_SHARE_MIN;
    const to = isLarge ? Buffer.allocUnsafeSlow(Math.max(used * 2, TEXT_BYTES_AT_FIRST)) : this.#text;
    this.#text.copy(to, 0, start, this.#used);
    [this.#text, this.#used] = [to, used];
  }

  #reserve(text: number): void {
    if (this.#used + text > this.#text.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(this.#used + text, this.#text.length * 2, TEXT_BYTES_AT_FIRST));
      this.#text.copy(grown, 0, 0, this.#used);
      this.#text = grown;
    }
    if (this.#count * WORDS === this.#words.length) {
      const grown = new Uint32Array(Math.max(this.#words.length * 2, RECORDS_AT_FIRST * WORDS));
      grown.set(this.#words);
      this.#words = grown;
    }
  }
}

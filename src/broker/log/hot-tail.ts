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
/** A buffer of which less than this share is used is given back when records go. */
const USED_SHARE_MIN = 0.25;
const NO_TEXT = Buffer.alloc(0);
const NO_WORDS = new Uint32Array(0);

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
    if (tail.bytes > this.#topicBytesMax) this.#bytes -= tail.trimTo(this.#topicBytesMax / 2, true);
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
      tail.isHeld = tail.usedSinceSweep || tail === pushed;
      if (!tail.isHeld) {
        this.#bytes -= tail.trimTo(0);
        continue;
      }
      tail.usedSinceSweep = false;
      this.#tails.add(tail);
      // A set visits again what is added while it is walked: without this an only tail would be walked for ever.
      if (tail === pushed) this.#bytes -= tail.trimTo(Math.floor(tail.bytes / 2));
    }
  }
}

export class HotTail {
  readonly #memory: HotMemory;
  /** Not yet in the bytes: most topics have had one record lately, and need none. Undefined where it was superseded. */
  #newest: LogRecord | undefined;
  #newestSize = 0;
  #hasNewest = false;
  #text = NO_TEXT;
  #used = 0;
  #words = NO_WORDS;
  /** Records in the bytes. */
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
    const word = this.#word(offset);
    if (word === GONE) return undefined;
    const start = this.#words[(offset - this.#first) * WORDS] ?? 0;
    return { kind: 'record', offset, major: word % 2 === 1, data: this.#text.toString('utf8', start, start + (word >>> 1)) };
  }

  push(record: LogRecord): void {
    if (this.#hasNewest) this.#settleNewest();
    this.#newest = record;
    this.#newestSize = Buffer.byteLength(record.data);
    this.#hasNewest = true;
    const bytes = this.#newestSize + RECORD_OVERHEAD_BYTES;
    this.bytes += bytes;
    this.usedSinceSweep = true;
    this.#memory.account(this, bytes);
  }

  /** A superseded record must not be served from memory as if it still stood. Its text stays until it is trimmed. */
  drop(offset: number): void {
    let size: number;
    if (this.#newest?.offset === offset) {
      size = this.#newestSize;
      this.#newest = undefined;
    } else {
      const word = this.#word(offset);
      if (word === GONE) return;
      size = word >>> 1;
      this.#words[(offset - this.#first) * WORDS + 1] = GONE;
    }
    this.bytes -= size + RECORD_OVERHEAD_BYTES;
    this.#memory.account(this, -(size + RECORD_OVERHEAD_BYTES));
  }

  /** Lets go of the oldest until at most `bytes` are held, and says how many went. Whatever its size, the newest is what
   *  live readers are about to ask for: `keepsNewest`. */
  trimTo(bytes: number, keepsNewest = false): number {
    const before = this.bytes;
    let dropped = 0;
    for (; this.bytes > bytes && dropped < this.#count; dropped += 1) {
      const word = this.#words[dropped * WORDS + 1] ?? GONE;
      if (word !== GONE) this.bytes -= (word >>> 1) + RECORD_OVERHEAD_BYTES;
    }
    if (dropped > 0) this.#forget(dropped);
    if (this.bytes > bytes && !keepsNewest) this.#forgetNewest();
    return before - this.bytes;
  }

  #word(offset: number): number {
    if (offset < this.#first || offset >= this.#first + this.#count) return GONE;
    return this.#words[(offset - this.#first) * WORDS + 1] ?? GONE;
  }

  #settleNewest(): void {
    this.#reserve(this.#newestSize);
    const at = this.#count * WORDS;
    this.#words[at] = this.#used;
    this.#words[at + 1] = this.#newest === undefined ? GONE : this.#newestSize * 2 + (this.#newest.major ? 1 : 0);
    if (this.#newest !== undefined) this.#used += this.#text.write(this.#newest.data, this.#used);
    this.#count += 1;
  }

  #forgetNewest(): void {
    if (!this.#hasNewest) return;
    if (this.#newest !== undefined) this.bytes -= this.#newestSize + RECORD_OVERHEAD_BYTES;
    this.#newest = undefined;
    this.#hasNewest = false;
    this.#first += 1;
  }

  #forget(oldest: number): void {
    this.#first += oldest;
    this.#count -= oldest;
    if (this.#count === 0) {
      [this.#text, this.#words, this.#used] = [NO_TEXT, NO_WORDS, 0];
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

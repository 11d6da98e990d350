// Where the records of one chunk of a topic are: CHUNK_RECORDS offsets, four numbers each, so that a topic of any
// length is opened by reading only its last chunk. Also holds the declared holes, the sizes and the majors, so that
// limits, superseding and majors-only reads need no disk.
import { BrokerError } from '../../errors.ts';
import { ByteReader } from '../format/byte-reader.ts';
import type { ByteWriter } from '../format/byte-writer.ts';
import type { FrameLocation } from '../format/frame-codec.ts';

export const CHUNK_RECORDS = 512;
/** Words for each offset (slot): `[segment, byte of the frame, frame length, size * 2 + major]`, or for a hole `[0,
 *  by low, by high, 0]`; all zero for a lost offset. */
const WORDS = 4;
/** The `by` of a lost offset. The `by` of a hole is at least 1, because the write comes after what it replaces. */
export const LOST = 0;
const SLOTS_AT_FIRST = 4;
/** The array grows by this factor. The outgrown array is garbage outside of the heap: with four it is a third of
 *  what stays, with two it would be as much again. (hot: ADR 7 §4) */
const GROWTH = 4;
const HIGH = 2 ** 32;

export class RecordChunk {
  readonly index: number;
  #words: Uint32Array;
  #count: number;
  /** Changed since the last checkpoint captured it: must not leave memory. */
  dirty = false;
  #majors = 0;
  /** Lost offsets that no write has replaced since. */
  #lost = 0;
  #hasHole = false;
  /** An image shares the words: their present values must not change. */
  #isShared = false;

  constructor(index: number, words = new Uint32Array(SLOTS_AT_FIRST * WORDS), count = 0) {
    this.index = index;
    this.#words = words;
    this.#count = count;
  }

  get count(): number {
    return this.#count;
  }

  /** Lets a majors-only read skip a chunk of deltas at once. */
  get hasMajors(): boolean {
    return this.#majors > 0;
  }

  get hasLost(): boolean {
    return this.#lost > 0;
  }

  push(segment: number, position: number, length: number, sizeAndMajor: number): void {
    const at = this.#count * WORDS;
    if (at === this.#words.length) {
      const grown = new Uint32Array(Math.min(at * GROWTH, CHUNK_RECORDS * WORDS));
      grown.set(this.#words);
      this.#words = grown;
      this.#isShared = false;
    }
    const words = this.#words;
    words[at] = segment;
    words[at + 1] = position;
    words[at + 2] = length;
    words[at + 3] = sizeAndMajor;
    this.#majors += sizeAndMajor % 2;
    this.#count += 1;
    this.dirty = true;
  }

  /** A record that was written and of which nothing was found. */
  pushLost(): void {
    this.push(0, 0, 0, 0);
    this.#lost += 1;
    this.#hasHole = true;
  }

  /** The record of the slot is at another location. */
  relocate(slot: number, { segment, position, length }: FrameLocation): void {
    this.#unshare();
    const at = slot * WORDS;
    this.#words[at] = segment;
    this.#words[at + 1] = position;
    this.#words[at + 2] = length;
    this.dirty = true;
  }

  #unshare(): void {
    if (!this.#isShared) return;
    this.#words = this.#words.slice();
    this.#isShared = false;
  }

  /** Makes the slot part of the hole that the write at `by` replaces; `LOST`: the record of the slot is lost. */
  supersede(slot: number, by: number): void {
    this.#lost += Number(by === LOST) - Number(this.holeBy(slot) === LOST);
    this.#unshare();
    const at = slot * WORDS;
    this.#words[at] = 0;
    this.#words[at + 1] = by % HIGH;
    this.#words[at + 2] = Math.floor(by / HIGH);
    this.#words[at + 3] = 0;
    this.#hasHole = true;
    this.dirty = true;
  }

  /** The hole's `by`, `LOST` for a lost offset; -1 for a record. */
  holeBy(slot: number): number {
    return holeIn(this.#words, slot);
  }

  isMajor(slot: number): boolean {
    return this.#word(slot, 3) % 2 === 1;
  }

  /** UTF-8 bytes of the record; 0 for a hole. */
  size(slot: number): number {
    return this.#word(slot, 3) >>> 1;
  }

  segment(slot: number): number {
    return this.#word(slot, 0);
  }

  /** Calls `each` for each series of live records in one segment: the segment, their number, and their bytes. One call
   *  for each record would make the end of a topic of a million records one turn of 100 ms. */
  forEachSeries(each: (segment: number, records: number, bytes: number) => void): void {
    let [segment, records, bytes] = [0, 0, 0];
    for (let slot = 0; slot < this.#count; slot++) {
      const own = this.segment(slot);
      if (own !== segment) {
        if (segment !== 0) each(segment, records, bytes);
        [segment, records, bytes] = [own, 0, 0];
      }
      records += 1;
      bytes += this.size(slot);
    }
    if (segment !== 0) each(segment, records, bytes);
  }

  location(slot: number): FrameLocation {
    return { segment: this.#word(slot, 0), position: this.#word(slot, 1), length: this.#word(slot, 2) };
  }

  #word(slot: number, word: number): number {
    return this.#words[slot * WORDS + word] ?? 0;
  }

  /** The chunk as it is now, without a copy: the next change that is not an append copies the words. Marks the chunk
   *  as clean. */
  image(): ChunkImage {
    this.dirty = false;
    this.#isShared = true;
    return new ChunkImage(this.index, this.#words, this.#count, this.#hasHole);
  }

  /** @throws BrokerError corrupt */
  static decode(index: number, bytes: Buffer): RecordChunk {
    const reader = new ByteReader(bytes);
    const count = reader.varint();
    if (count > CHUNK_RECORDS) throw new BrokerError('corrupt', 'an index chunk is too long');
    const words = new Uint32Array(Math.max(count, SLOTS_AT_FIRST) * WORDS);
    const into = new Uint8Array(words.buffer);
    const chunk = new RecordChunk(index, words, count);
    for (let slot = 0; slot < count;) {
      const head = reader.varint();
      const length = Math.floor(head / 2);
      if (length === 0 || slot + length > count) throw new BrokerError('corrupt', 'an index chunk has a bad run');
      if (head % 2 === 1) into.set(reader.bytes(length * WORDS * 4), slot * WORDS * 4);
      else {
        const by = reader.varint();
        for (let i = slot; i < slot + length; i++) chunk.supersede(i, by);
      }
      slot += length;
    }
    chunk.dirty = false;
    for (let slot = 0; slot < count; slot++) chunk.#majors += chunk.isMajor(slot) ? 1 : 0;
    return chunk;
  }
}

/** A chunk as it was at one moment, to be written later while the chunk changes. */
export class ChunkImage {
  readonly index: number;
  readonly #words: Uint32Array;
  readonly #count: number;
  readonly #hasHole: boolean;

  constructor(index: number, words: Uint32Array, count: number, hasHole: boolean) {
    this.index = index;
    this.#words = words;
    this.#count = count;
    this.#hasHole = hasHole;
  }

  /** Writes a series of records as it is and a series of slots of one hole as three numbers: a superseded answer
   *  takes almost no room. */
  encode(into: ByteWriter): void {
    into.varint(this.#count);
    for (let slot = 0; slot < this.#count;) {
      const by = holeIn(this.#words, slot);
      const end = this.#hasHole ? this.#endOfRun(slot, by) : this.#count;
      into.varint((end - slot) * 2 + (by < 0 ? 1 : 0));
      if (by >= 0) into.varint(by);
      else into.bytes(new Uint8Array(this.#words.buffer, slot * WORDS * 4, (end - slot) * WORDS * 4));
      slot = end;
    }
  }

  #endOfRun(slot: number, by: number): number {
    let end = slot + 1;
    while (end < this.#count && holeIn(this.#words, end) === by) end += 1;
    return end;
  }
}

function holeIn(words: Uint32Array, slot: number): number {
  const at = slot * WORDS;
  if (words[at] !== 0) return -1;
  return (words[at + 1] ?? 0) + (words[at + 2] ?? 0) * HIGH;
}

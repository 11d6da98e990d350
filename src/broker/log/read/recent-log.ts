// A cache of the last bytes of the log: a reader that is a few seconds behind reads them from memory. The engine copies
// each batch once, regardless of the number of its topics, and makes no object per record, so a token that was
// delivered costs nothing more. Bytes that have left the cache are read from the segments. (hot: ADR 7 §2)
import type { FrameLocation } from '../format/frame-codec.ts';

/** The cache is a ring of this many blocks: the newest block overwrites the oldest. */
export const BLOCKS = 64;

/** A copy of adjacent batches of one segment. */
export interface RecentBlock {
  readonly segment: number;
  /** The position of the first byte in the segment. */
  readonly start: number;
  readonly buffer: Buffer;
  used: number;
}

export class RecentLog {
  /** One allocation, so that the garbage collector counts it once. The system backs a page with memory when the page is
   *  first written. */
  readonly #slab: Buffer;
  readonly #blockBytes: number;
  /** The blocks in use, in the order of the log. */
  readonly #blocks: RecentBlock[] = [];
  #begun = 0;

  constructor(bytes: number) {
    this.#blockBytes = Math.floor(bytes / BLOCKS);
    this.#slab = Buffer.allocUnsafeSlow(this.#blockBytes * BLOCKS);
  }

  /** Adds the next batch of the log. Ignores a batch that is larger than a block. */
  add(segment: number, position: number, batch: Buffer): void {
    if (batch.length > this.#blockBytes) return;
    let last = this.#blocks.at(-1);
    const follows = last?.segment === segment && last.start + last.used === position;
    if (last === undefined || !follows || last.used + batch.length > last.buffer.length)
      last = this.#begin(segment, position);
    batch.copy(last.buffer, last.used);
    last.used += batch.length;
  }

  /** The block that holds the frame, or undefined. Its bytes are valid until the next `add`. */
  find({ segment, position, length }: FrameLocation): RecentBlock | undefined {
    let [low, high] = [0, this.#blocks.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const block = this.#blocks[middle];
      if (block === undefined || block.segment > segment || (block.segment === segment && block.start > position))
        high = middle;
      else low = middle + 1;
    }
    const block = this.#blocks[low - 1];
    if (block?.segment !== segment || position + length > block.start + block.used) return undefined;
    return block;
  }

  #begin(segment: number, start: number): RecentBlock {
    if (this.#blocks.length === BLOCKS) this.#blocks.shift();
    const at = (this.#begun++ % BLOCKS) * this.#blockBytes;
    const block = { segment, start, buffer: this.#slab.subarray(at, at + this.#blockBytes), used: 0 };
    this.#blocks.push(block);
    return block;
  }
}

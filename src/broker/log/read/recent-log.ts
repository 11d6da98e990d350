// The last bytes of the log, as they stand in it: who is a few seconds behind reads them here and not from the device.
// One copy for each batch, however many topics it holds, and no object for any record: a token that has been delivered
// costs nothing more. A cache: what has left it is read from the log instead.
import type { FrameLocation } from '../format/frame-codec.ts';

/** The oldest goes at once, to be used for the newest. */
export const BLOCKS = 64;

/** Adjacent batches of one segment. */
export interface RecentBlock {
  readonly segment: number;
  /** Of its first byte, in the segment. */
  readonly start: number;
  readonly buffer: Buffer;
  used: number;
}

export class RecentLog {
  /** One piece from the start, so that the collector hears of it once; the system gives it memory where it is written. */
  readonly #slab: Buffer;
  readonly #blockBytes: number;
  /** In the order of the log. */
  readonly #blocks: RecentBlock[] = [];
  #begun = 0;

  constructor(bytes: number) {
    this.#blockBytes = Math.floor(bytes / BLOCKS);
    this.#slab = Buffer.allocUnsafeSlow(this.#blockBytes * BLOCKS);
  }

  /** The batch that follows in the log. One that is larger than a block is left to the device. */
  add(segment: number, position: number, batch: Buffer): void {
    if (batch.length > this.#blockBytes) return;
    let last = this.#blocks.at(-1);
    const follows = last?.segment === segment && last.start + last.used === position;
    if (last === undefined || !follows || last.used + batch.length > last.buffer.length)
      last = this.#begin(segment, position);
    batch.copy(last.buffer, last.used);
    last.used += batch.length;
  }

  /** The block that holds the frame; undefined where none does any more. What it holds may change with the next batch. */
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

// Where a checkpoint's values stand until the index has them: in pages that the next checkpoint uses again. Thousands of
// buffers of their own, each time, would be garbage outside of the heap, and make the collector come.
import { ByteWriter } from '../format/byte-writer.ts';

/** Room for some thousand changed topics. The system gives it memory where it is written. What goes beyond is given back. */
const HELD_BYTES = 16 * 1024 * 1024;
/** As much again as a value may have, and more. */
const FULL_BYTES = 1024 * 1024;

export class ValuePages {
  readonly #held = new ByteWriter(HELD_BYTES);
  #beyond: ByteWriter | undefined;

  /** What is written, until `clear`. */
  value(write: (into: ByteWriter) => void): Buffer {
    const page = this.#page();
    const from = page.length;
    write(page);
    return page.view(from);
  }

  clear(): void {
    this.#held.clear();
    this.#held.shrink(HELD_BYTES);
    this.#beyond = undefined;
  }

  /** What was given of one that had to grow for a value, or that is full, still stands. */
  #page(): ByteWriter {
    if (this.#held.length < HELD_BYTES - FULL_BYTES) return this.#held;
    if (this.#beyond === undefined || this.#beyond.length >= FULL_BYTES) this.#beyond = new ByteWriter(FULL_BYTES);
    return this.#beyond;
  }
}

// Holds a checkpoint's values until the index has them, in pages that the next checkpoint uses again. Thousands of
// separate buffers for each checkpoint would be garbage outside of the heap, and would trigger the garbage collector.
// (hot: ADR 7 §4)
import { ByteWriter } from '../format/byte-writer.ts';

/** Room for some thousand changed topics. The system supplies memory only for what is written. Memory beyond this
 *  size is released. */
const HELD_BYTES = 16 * 1024 * 1024;
/** The size of further pages: more than one value takes. */
const FULL_BYTES = 1024 * 1024;

export class ValuePages {
  readonly #held = new ByteWriter(HELD_BYTES);
  #beyond: ByteWriter | undefined;

  /** Returns what `write` wrote. Valid until `clear`. */
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

  /** The views of a page that is full, or that had to grow for a value, stay valid. */
  #page(): ByteWriter {
    if (this.#held.length < HELD_BYTES - FULL_BYTES) return this.#held;
    if (this.#beyond === undefined || this.#beyond.length >= FULL_BYTES) this.#beyond = new ByteWriter(FULL_BYTES);
    return this.#beyond;
  }
}

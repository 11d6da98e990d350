// Where a checkpoint's values stand until the index has them: in pages that the next checkpoint uses again. Thousands of
// buffers of their own, each time, would be garbage outside of the heap, and make the collector come.
import { ByteWriter } from './byte-writer.ts';

const PAGE_BYTES = 1024 * 1024;
/** More than this is given back. */
const PAGES_KEPT = 16;

export class ValuePages {
  #pages: ByteWriter[] = [];
  #current = 0;

  /** What is written, until `clear`. */
  value(write: (into: ByteWriter) => void): Buffer {
    const page = this.#page();
    const from = page.length;
    write(page);
    return page.view(from);
  }

  clear(): void {
    this.#pages.length = Math.min(this.#pages.length, PAGES_KEPT);
    for (const page of this.#pages) {
      page.clear();
      page.shrink(PAGE_BYTES);
    }
    this.#current = 0;
  }

  /** One that has grown for its last value is full, and what was given of it before still stands. */
  #page(): ByteWriter {
    if ((this.#pages[this.#current]?.length ?? 0) >= PAGE_BYTES) this.#current += 1;
    return (this.#pages[this.#current] ??= new ByteWriter(PAGE_BYTES));
  }
}

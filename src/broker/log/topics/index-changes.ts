// The changes of the index in the order in which they are to be applied, as bytes in memory that two threads share: the
// main thread encodes them and the index thread writes them, so that no page is copied between the two. It handles keys
// and bytes; the codecs give them meaning. index-thread.js reads this form.
import { ByteWriter } from '../format/byte-writer.ts';
import { STORES, type StoreName } from './index-stores.js';

/** A page is full from this size on. One change is written to one page, so a page may become larger. */
const PAGE_BYTES = 1024 * 1024;
/** Pages that are kept for the next changes: enough for some thousand changed topics. Thousands of separate buffers for
 *  each checkpoint would be garbage outside of the heap, and would trigger the garbage collector. (hot: ADR 7 §4) */
const PAGES_KEPT = 16;
/** Three numbers of 32 bits: the store, the length of the key, and one more than the length of the value; 0 instead of
 *  the last one deletes the key. */
const HEAD_BYTES = 12;

export class IndexChanges {
  readonly #pageBytes: number;
  readonly #pages: ByteWriter[] = [];
  #full = 0;
  #count = 0;

  constructor(pageBytes = PAGE_BYTES) {
    this.#pageBytes = pageBytes;
  }

  /** The number of changes. */
  get count(): number {
    return this.#count;
  }

  /** Sets the key to what `write` writes. */
  put(store: StoreName, key: Uint8Array, write: (into: ByteWriter) => void): void {
    const page = this.#page();
    const head = page.length;
    page.skip(HEAD_BYTES);
    page.bytes(key);
    const start = page.length;
    write(page);
    this.#patchHead(page, head, store, key, page.length - start + 1);
  }

  remove(store: StoreName, key: Uint8Array): void {
    const page = this.#page();
    const head = page.length;
    page.skip(HEAD_BYTES);
    page.bytes(key);
    this.#patchHead(page, head, store, key, 0);
  }

  /** The bytes of all changes, without a copy. Valid until the next change. */
  views(): readonly Uint8Array[] {
    return this.#pages.slice(0, this.#full + 1).map((page) => page.view());
  }

  clear(): void {
    this.#pages.length = Math.min(this.#pages.length, PAGES_KEPT);
    for (const page of this.#pages) {
      page.clear();
      page.shrink(2 * this.#pageBytes);
    }
    this.#full = 0;
    this.#count = 0;
  }

  #page(): ByteWriter {
    const page = this.#pages[this.#full];
    if (page !== undefined && page.length < this.#pageBytes) return page;
    if (page !== undefined) this.#full += 1;
    return (this.#pages[this.#full] ??= new ByteWriter(this.#pageBytes, sharedBuffer));
  }

  #patchHead(page: ByteWriter, at: number, store: StoreName, key: Uint8Array, valueMark: number): void {
    page.patchUint32(at, STORES.indexOf(store));
    page.patchUint32(at + 4, key.length);
    page.patchUint32(at + 8, valueMark);
    this.#count += 1;
  }
}

/** The system supplies memory only for what is written. */
function sharedBuffer(bytes: number): Buffer {
  return Buffer.from(new SharedArrayBuffer(bytes));
}

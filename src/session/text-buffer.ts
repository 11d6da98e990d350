// A text that grows by a token at a time. Its characters are copied to pages outside the heap: a list of tokens would keep
// each of them alive for as long as the answer lasts, and of a thousand answers that is most of what a collector has to
// look through. Pages, because a buffer that is outgrown is garbage too, and makes the collector come.

/** Even, so that no code unit stands on two. */
const PAGE_BYTES = 2048;
/** The call into the runtime costs more than to copy so few. */
const SHORT_TEXT = 48;

export class TextBuffer {
  #pages: Buffer[] = [];
  #length = 0;

  /** UTF-16 code units. */
  get length(): number {
    return this.#length;
  }

  append(text: string): void {
    for (let from = 0; from < text.length; ) {
      const at = (this.#length * 2) % PAGE_BYTES;
      const page = this.#pageFor(this.#length);
      const to = Math.min(text.length, from + (PAGE_BYTES - at) / 2);
      if (to - from > SHORT_TEXT) page.write(text.slice(from, to), at, 'utf16le');
      else copy(text, from, to, page, at);
      this.#length += to - from;
      from = to;
    }
  }

  /** Drops what stands from there on, if anything does. */
  truncate(length: number): void {
    this.#length = Math.min(this.#length, length);
    this.#pages.length = Math.min(this.#pages.length, Math.ceil((this.#length * 2) / PAGE_BYTES));
  }

  toString(): string {
    return this.#pages.map((page, i) => page.toString('utf16le', 0, Math.min(PAGE_BYTES, this.#length * 2 - i * PAGE_BYTES))).join('');
  }

  #pageFor(unit: number): Buffer {
    return (this.#pages[Math.floor((unit * 2) / PAGE_BYTES)] ??= Buffer.allocUnsafeSlow(PAGE_BYTES));
  }
}

function copy(text: string, from: number, to: number, page: Buffer, start: number): void {
  for (let i = from, at = start; i < to; i += 1, at += 2) {
    const unit = text.charCodeAt(i);
    page[at] = unit & 0xff;
    page[at + 1] = unit >>> 8;
  }
}

// A text that grows by one token at a time. It copies the characters to pages outside the heap. A list of tokens would
// keep each token alive until the answer ends, and with a thousand answers that is most of what the garbage collector
// has to scan. It uses pages because a buffer that is too small is garbage as well. A character takes one byte, until
// one needs two. (hot: ADR 7 §3)

/** Even, so that no code unit spans two pages. */
const PAGE_BYTES = 2048;
/** For fewer characters a loop is cheaper than a call into the runtime. */
const SHORT_TEXT = 48;
const BEYOND_A_BYTE = /[^\0-\xff]/;
const NO_PAGE: Buffer = Buffer.alloc(0);

export class TextBuffer {
  #pages: Buffer[] = [];
  /** The last page. */
  #page = NO_PAGE;
  #length = 0;
  #unitBytes: 1 | 2 = 1;

  /** UTF-16 code units. */
  get length(): number {
    return this.#length;
  }

  append(text: string): void {
    if (this.#unitBytes === 1 && isWide(text)) this.#widen();
    const perPage = PAGE_BYTES / this.#unitBytes;
    for (let from = 0; from < text.length;) {
      const at = this.#length % perPage;
      if (at === 0) this.#turnPage();
      const page = this.#page;
      const to = Math.min(text.length, from + perPage - at);
      if (to - from > SHORT_TEXT) page.write(text.slice(from, to), at * this.#unitBytes, this.#encoding);
      else if (this.#unitBytes === 1) copyBytes(text, from, to, page, at);
      else copyUnits(text, from, to, page, at * 2);
      this.#length += to - from;
      from = to;
    }
  }

  /** Drops the text from `length` on. */
  truncate(length: number): void {
    this.#length = Math.min(this.#length, length);
    this.#pages.length = Math.ceil((this.#length * this.#unitBytes) / PAGE_BYTES);
    this.#page = this.#pages.at(-1) ?? NO_PAGE;
  }

  toString(): string {
    return this.#pages
      .map((page, i) =>
        page.toString(this.#encoding, 0, Math.min(PAGE_BYTES, this.#length * this.#unitBytes - i * PAGE_BYTES)),
      )
      .join('');
  }

  copy(): TextBuffer {
    const copy = new TextBuffer();
    copy.#pages = this.#pages.map(copyPage);
    copy.#page = copy.#pages.at(-1) ?? NO_PAGE;
    [copy.#length, copy.#unitBytes] = [this.#length, this.#unitBytes];
    return copy;
  }

  equals(other: TextBuffer): boolean {
    return this.#length === other.#length && this.toString() === other.toString();
  }

  get #encoding(): 'latin1' | 'utf16le' {
    return this.#unitBytes === 1 ? 'latin1' : 'utf16le';
  }

  #widen(): void {
    const text = this.toString();
    [this.#pages, this.#length, this.#unitBytes] = [[], 0, 2];
    this.append(text);
  }

  #turnPage(): void {
    this.#page = Buffer.allocUnsafeSlow(PAGE_BYTES);
    this.#pages.push(this.#page);
  }
}

/** Not of the shared pool: a page lives as long as its answer. */
function copyPage(page: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(PAGE_BYTES);
  page.copy(copy);
  return copy;
}

function isWide(text: string): boolean {
  if (text.length > SHORT_TEXT) return BEYOND_A_BYTE.test(text);
  let bits = 0;
  for (let i = 0; i < text.length; i += 1) bits |= text.charCodeAt(i);
  return bits > 0xff;
}

function copyBytes(text: string, from: number, to: number, page: Buffer, start: number): void {
  for (let i = from, at = start; i < to; i += 1, at += 1) page[at] = text.charCodeAt(i);
}

function copyUnits(text: string, from: number, to: number, page: Buffer, start: number): void {
  for (let i = from, at = start; i < to; i += 1, at += 2) {
    const unit = text.charCodeAt(i);
    page[at] = unit & 0xff;
    page[at + 1] = unit >>> 8;
  }
}

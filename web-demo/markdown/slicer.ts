// Cuts a growing Markdown text into slices that are parsed separately, so that only the last one is parsed again. Reads every
// line once, in linear time. Pure.
//
// A slice ends where CommonMark ends every block: before an unindented line that follows a blank one and continues no list, and at a
// code fence outside of a list. A slice that grows beyond the parser's limit is cut between items or becomes plain text.

export interface Slice {
  readonly kind: 'markdown' | 'code' | 'plain';
  /** The offset of the slice in the text. It does not change when the text grows. */
  readonly start: number;
  /** Of code: without its fences. */
  readonly source: string;
}

interface Fence {
  readonly mark: string;
  readonly length: number;
}

/** UTF-16 units below which no slice ends at a blank line: a parse for each paragraph would cost more than it saves. */
export const SLICE_MIN = 2_000;
/** Above this a list is cut between its items, and a quotation between its lines. */
export const SLICE_SOFT = 12_000;
/** A longer slice is plain text: it has no point for a cut, and parsers need more than linear time. */
export const SLICE_MAX = 32_000;

const OPENING = /^ *(`{3,})[^`]*$|^ *(~{3,})/;
const LIST_ITEM = /^ {0,3}(?:[-*+]|\d{1,9}[.)])(?:[ \t]|$)/;

export class Slicer {
  readonly #closed: Slice[] = [];
  #text = '';
  /** The slice that grows. */
  #start = 0;
  #kind: Slice['kind'] = 'markdown';
  /** Of code: behind its opening fence. */
  #contentStart = 0;
  /** Behind the last line that was read. */
  #read = 0;
  #fence: Fence | undefined;
  #isInList = false;
  #isAfterBlank = false;

  /** With every line end a single character. */
  get text(): string {
    return this.#text;
  }

  /** Those that no further text changes. */
  get closed(): readonly Slice[] {
    return this.#closed;
  }

  /** The one at the end, which grows; undefined where the text ends with a closed one. */
  get open(): Slice | undefined {
    if (this.#start === this.#text.length) return undefined;
    // A last line without its end decides nothing, but with it the slice may be more than a parser is given.
    const isTooLong = this.#kind === 'plain' || this.#text.length - this.#start > SLICE_MAX;
    if (this.#kind !== 'code')
      return { kind: isTooLong ? 'plain' : 'markdown', start: this.#start, source: this.#text.slice(this.#start) };
    return { kind: 'code', start: this.#start, source: this.#openCode() };
  }

  /** @returns whether `text` continues the earlier text; if not, all slices are cut again */
  update(text: string): boolean {
    const lines = text.includes('\r') ? text.replace(/\r\n?/g, '\n') : text;
    const continues = lines.startsWith(this.#text);
    if (!continues) this.#startOver();
    this.#text = lines;
    for (let end = lines.indexOf('\n', this.#read); end >= 0; end = lines.indexOf('\n', this.#read)) {
      this.#take(lines.slice(this.#read, end), this.#read, end + 1);
      this.#read = end + 1;
    }
    return continues;
  }

  #startOver(): void {
    this.#closed.length = 0;
    this.#start = 0;
    this.#read = 0;
    this.#contentStart = 0;
    this.#begin('markdown');
  }

  #take(line: string, start: number, next: number): void {
    if (this.#kind === 'code') this.#takeCode(line, next);
    else this.#takeText(line, start, next);
  }

  #takeCode(line: string, next: number): void {
    if (!this.#isClosing(line)) return;
    this.#closed.push({
      kind: 'code',
      start: this.#start,
      source: this.#text.slice(this.#contentStart, next - line.length - 1),
    });
    this.#start = next;
    this.#begin('markdown');
  }

  #takeText(line: string, start: number, next: number): void {
    this.#takeLine(line, start, next);
    if (this.#kind !== 'markdown' || next - this.#start <= SLICE_MAX) return;
    this.#kind = 'plain';
    this.#fence = undefined;
  }

  #takeLine(line: string, start: number, next: number): void {
    if (line.trim() === '') {
      this.#isAfterBlank = true;
      return;
    }
    if (this.#fence !== undefined) {
      if (this.#isClosing(line)) this.#fence = undefined;
      return;
    }
    const indent = line.search(/[^ ]/);
    const fence = openingOf(line);
    if (fence !== undefined && indent <= 3 && (indent === 0 || !this.#isInList)) {
      this.#close(start);
      this.#begin('code');
      this.#fence = fence;
      this.#contentStart = next;
      return;
    }
    if (this.#endsBefore(line, start, indent)) {
      this.#close(start);
      this.#begin('markdown');
    }
    if (this.#isInList && fence !== undefined) this.#fence = fence;
    if (LIST_ITEM.test(line)) this.#isInList = true;
    this.#isAfterBlank = false;
  }

  #endsBefore(line: string, start: number, indent: number): boolean {
    const length = start - this.#start;
    const isItem = LIST_ITEM.test(line);
    if (this.#isAfterBlank && indent === 0 && line[0] !== '\t' && !isItem) {
      this.#isInList = false;
      return length >= SLICE_MIN || this.#kind === 'plain';
    }
    return length >= SLICE_SOFT && indent === 0 && (isItem || line.startsWith('>') || line.startsWith('#'));
  }

  #close(end: number): void {
    if (end > this.#start)
      this.#closed.push({ kind: this.#kind, start: this.#start, source: this.#text.slice(this.#start, end) });
    this.#start = end;
  }

  #begin(kind: Slice['kind']): void {
    this.#kind = kind;
    this.#fence = undefined;
    this.#isInList = false;
    this.#isAfterBlank = false;
  }

  #isClosing(line: string): boolean {
    const { mark, length } = this.#fence ?? { mark: '`', length: 3 };
    const marks = line.trim();
    return marks.length >= length && marks === mark.repeat(marks.length);
  }

  /** Its last line may be the beginning of its closing fence, which is no code. */
  #openCode(): string {
    const { mark } = this.#fence ?? { mark: '`' };
    const last = this.#text.slice(this.#read).trim();
    const isFence = last !== '' && last === mark.repeat(last.length);
    return this.#text.slice(this.#contentStart, isFence ? this.#read : undefined);
  }
}

function openingOf(line: string): Fence | undefined {
  const found = OPENING.exec(line);
  const marks = found?.[1] ?? found?.[2];
  return marks === undefined ? undefined : { mark: marks.charAt(0), length: marks.length };
}

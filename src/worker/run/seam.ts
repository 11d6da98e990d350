// Joins the continuation of an answer to the retained prefix. Servers differ: some repeat the prefix before they
// continue, some drop the white space at the join, and some begin the answer again. A reader must not see the join, and
// nothing that the model meant may be cut away. So text is held back while it repeats the prefix, and judged as soon as
// it differs. Pure: it holds no more than the white space before the first word and a number.

/** UTF-16 code units that no model repeats by chance from the start of its answer. */
export const ECHO_CHARS_MIN = 32;
/** UTF-16 code units of white space that may come before the first word. */
export const LEADING_SPACE_MAX = 64;

/** The continuation does not follow the prefix, or one cannot know. Nothing of it has been passed on. */
export class BrokenSeamError extends Error {
  override readonly name = 'BrokenSeamError';
}

export class Seam {
  readonly #prefix: string;
  /** The part of `prefix` that a repetition is compared with: everything after its leading white space. */
  readonly #words: string;
  /** The white space between `prefix` and the text that was to follow. */
  readonly #gap: string;
  #lead = '';
  #repeated = 0;
  #state: 'judging' | 'spacing' | 'joined' = 'judging';

  /** `prefix` does not end in white space: that is `gap`, which the model did not receive. */
  constructor(prefix: string, gap: string) {
    this.#prefix = prefix;
    this.#words = prefix.trimStart();
    this.#gap = gap;
  }

  /** From here on text passes through. */
  get isJoined(): boolean {
    return this.#state === 'joined';
  }

  /** Returns the part of the text that may be shown now. @throws BrokenSeamError */
  push(text: string): string {
    if (this.#state !== 'judging') return this.#space(text);
    const words = this.#repeated === 0 ? this.#takeLead(text) : text;
    if (this.#lead.length > LEADING_SPACE_MAX) return this.#judge(words);
    const repeated = commonLength(this.#words, this.#repeated, words);
    this.#repeated += repeated;
    const isOpen = repeated === words.length && this.#repeated < this.#words.length;
    return isOpen ? '' : this.#judge(words.slice(repeated));
  }

  /** Ends the text; returns what was held back. @throws BrokenSeamError */
  end(): string {
    const rest = this.#state === 'judging' ? this.#judge('') : '';
    // An answer that was already complete keeps the white space that it showed.
    return rest === '' && this.#state === 'spacing' ? this.#join(this.#gap) : rest;
  }

  #takeLead(text: string): string {
    const words = text.trimStart();
    this.#lead += text.slice(0, text.length - words.length);
    return words;
  }

  /** A complete repetition is a habit of the server. A partial one is another beginning of the answer. A short one
   *  may be either ("1" may become "11"), and then asking again costs no more than its length. */
  #judge(after: string): string {
    const isWhole = this.#repeated === this.#words.length && this.#lead + this.#words === this.#prefix;
    const isLong = this.#repeated >= ECHO_CHARS_MIN;
    if (isWhole !== isLong) throw new BrokenSeamError('what was said may not follow what stood');
    this.#state = 'spacing';
    return this.#space(isWhole ? after : this.#lead + this.#words.slice(0, this.#repeated) + after);
  }

  /** The join has white space once: the continuation's own, otherwise `gap`. */
  #space(text: string): string {
    if (this.#state === 'joined' || text === '') return text;
    return this.#join(/^\s/.test(text) ? text : this.#gap + text);
  }

  #join(text: string): string {
    this.#state = 'joined';
    return text;
  }
}

/** The number of code units of `added` that equal those of `text` from `at` on. */
function commonLength(text: string, at: number, added: string): number {
  let length = 0;
  while (
    length < added.length &&
    at + length < text.length &&
    text.charCodeAt(at + length) === added.charCodeAt(length)
  )
    length += 1;
  return length;
}

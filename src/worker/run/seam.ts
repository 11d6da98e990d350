// Where what a model goes on with meets what stood already. Servers differ: some repeat the prefix before they go on,
// some drop the white space at the join, and some do not continue at all but begin the answer anew. Nobody may see a
// seam, and nothing that the model meant may be cut away. So text is held back while it repeats what stands, and judged
// where it no longer does. Pure: it holds no more than the white space before its first word and a number.

/** UTF-16 code units that no model repeats from the start of its answer by chance. */
export const ECHO_CHARS_MIN = 32;
/** UTF-16 code units of white space that are waited through for a first word. */
export const LEADING_SPACE_MAX = 64;

/** What was said does not follow what stood, or nobody can know. Nothing of it has been passed on. */
export class BrokenSeamError extends Error {
  override readonly name = 'BrokenSeamError';
}

export class Seam {
  readonly #prefix: string;
  /** Of `prefix`, what a repetition is compared with: all of it behind its own white space. */
  readonly #words: string;
  /** The white space that stood between `prefix` and what was to follow. */
  readonly #gap: string;
  #lead = '';
  #repeated = 0;
  #state: 'judging' | 'spacing' | 'joined' = 'judging';

  /** `prefix` does not end in white space: that is `gap`, which the model was not given. */
  constructor(prefix: string, gap: string) {
    this.#prefix = prefix;
    this.#words = prefix.trimStart();
    this.#gap = gap;
  }

  /** Text passes through from here on. */
  get isJoined(): boolean {
    return this.#state === 'joined';
  }

  /** What of this text may be shown now. @throws BrokenSeamError */
  push(text: string): string {
    if (this.#state !== 'judging') return this.#space(text);
    const words = this.#repeated === 0 ? this.#takeLead(text) : text;
    if (this.#lead.length > LEADING_SPACE_MAX) return this.#judge(words);
    const repeated = commonLength(this.#words, this.#repeated, words);
    this.#repeated += repeated;
    const isOpen = repeated === words.length && this.#repeated < this.#words.length;
    return isOpen ? '' : this.#judge(words.slice(repeated));
  }

  /** No more text follows directly; what was held back. @throws BrokenSeamError */
  end(): string {
    const rest = this.#state === 'judging' ? this.#judge('') : '';
    // An answer that had its last word already keeps the white space that it showed.
    return rest === '' && this.#state === 'spacing' ? this.#join(this.#gap) : rest;
  }

  #takeLead(text: string): string {
    const words = text.trimStart();
    this.#lead += text.slice(0, text.length - words.length);
    return words;
  }

  /** A whole repetition is the server's habit. Half of one is another beginning of the answer. A short one may be either
   *  ("1" may go on to "11"), and asking again costs no more than it is long. */
  #judge(after: string): string {
    const isWhole = this.#repeated === this.#words.length && this.#lead + this.#words === this.#prefix;
    const isLong = this.#repeated >= ECHO_CHARS_MIN;
    if (isWhole !== isLong) throw new BrokenSeamError('what was said may not follow what stood');
    this.#state = 'spacing';
    return this.#space(isWhole ? after : this.#lead + this.#words.slice(0, this.#repeated) + after);
  }

  /** White space stands at the join once: the continuation's own, else what stood. */
  #space(text: string): string {
    if (this.#state === 'joined' || text === '') return text;
    return this.#join(/^\s/.test(text) ? text : this.#gap + text);
  }

  #join(text: string): string {
    this.#state = 'joined';
    return text;
  }
}

/** How far `said` is what stands in `text` at `at`. */
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

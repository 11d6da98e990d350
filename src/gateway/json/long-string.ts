// One long string of JSON, parsed in pieces that JSON.parse takes. No cut is inside of an escape; a cut between the two
// halves of a character is none, because the pieces are joined again.

/** A backslash and a character, or `\u` and four digits. */
const ESCAPE_CHARS = 2;
const UNICODE_ESCAPE_CHARS = 6;

export class LongString {
  readonly #text: string;
  readonly #pieces: string[] = [];
  #from: number;

  /** @param from the first character behind the opening quote */
  constructor(text: string, from: number) {
    this.#text = text;
    this.#from = from;
  }

  /** Parses up to `end`, or a little further to the end of an escape. @throws SyntaxError */
  takeUpTo(end: number): void {
    const cut = this.#cutAt(end);
    if (cut > this.#from) this.#take(cut);
  }

  /** @param end the closing quote @throws SyntaxError */
  close(end: number): string {
    if (end < this.#from) throw new SyntaxError('an escape goes beyond its string');
    this.#take(end);
    return this.#pieces.join('');
  }

  #take(end: number): void {
    this.#pieces.push(JSON.parse(`"${this.#text.slice(this.#from, end)}"`) as string);
    this.#from = end;
  }

  #cutAt(end: number): number {
    const piece = this.#text.slice(this.#from, end);
    let next = 0;
    for (let escape = piece.indexOf('\\'); escape >= 0; escape = piece.indexOf('\\', next)) {
      const isUnicode = this.#text[this.#from + escape + 1] === 'u';
      next = escape + (isUnicode ? UNICODE_ESCAPE_CHARS : ESCAPE_CHARS);
    }
    return Math.max(end, this.#from + next);
  }
}

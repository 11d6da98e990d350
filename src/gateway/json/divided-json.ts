// Parses a long text of JSON piece by piece, so that the event loop can turn between two pieces. The result is the
// one that JSON.parse gives for the whole text. One walk over the text keeps to the bounds of `json-bounds.ts` and
// finds the commas and brackets. Short members of a list or an object that follow each other are parsed together, by
// JSON.parse; a member that is longer than some pieces is divided in turn. Pure: the caller lets the event loop turn.
import { JSON_DEPTH_MAX, type JsonBound } from './json-bounds.ts';
import { LongString } from './long-string.ts';

/** Characters of one piece. Of the most expensive shapes it costs about 1 ms. */
export const PIECE_CHARS = 16 * 1024;
/** Pieces after which what is not parsed yet is divided. */
const UNDIVIDED_PIECES = 2;

const BLANK = /^[ \t\n\r]*$/;
const COLON = /^[ \t\n\r]*:/;
/** What may be a name that sets a prototype. `\u00` begins the escape of each character of such a name. */
const SUSPECT = /"(?:__proto__|constructor)"|\\u00/;

export type DividedResult =
  /** `isSuspect`: an object of the value may have a name that sets a prototype. */
  | { readonly kind: 'value'; readonly value: unknown; readonly isSuspect: boolean }
  | { readonly kind: 'exceeded'; readonly bound: JsonBound }
  | { readonly kind: 'malformed' };

/** A list or an object that is built member by member. */
interface Container {
  readonly value: unknown[] | Record<string, unknown>;
  /** Its name in the object around it. */
  readonly name: string | undefined;
  /** The name of the next member, where it was parsed apart from its value. */
  memberName: string | undefined;
  /** The value of the member before the next comma is complete. */
  isFilled: boolean;
  isEmpty: boolean;
}

/** A bracket that is open inside the text that is not parsed yet. */
interface Bracket {
  readonly at: number;
  readonly isList: boolean;
  /** The last comma directly inside it; -1 if there is none. */
  comma: number;
}

interface OpenString {
  readonly at: number;
  /** Undefined while the string is short. */
  long: LongString | undefined;
  /** It is the name of the member `memberName`, and not its value. */
  isName: boolean;
  memberName: string | undefined;
}

export class DividedJson {
  readonly #text: string;
  readonly #valuesMax: number;
  readonly #pieceChars: number;
  #at: number;
  #values = 1;
  #depth = 0;
  #exceeded: JsonBound | undefined;
  /** The walk continues, because a bound that is exceeded later is what the sender learns. */
  #isMalformed = false;
  #isSuspect = false;
  /** From the outermost to the innermost container that is built member by member. The first has the text as its one
   *  member. */
  readonly #built: Container[] = [newContainer([], undefined)];
  readonly #brackets: Bracket[] = [];
  /** The first character that is not parsed yet. It belongs to the innermost container. */
  #from: number;
  /** The last comma directly in the innermost container. */
  #comma = -1;
  #string: OpenString | undefined;
  /** The next quote. */
  #quote = -1;

  /** A byte order mark at the beginning is dropped. */
  constructor(text: string, valuesMax: number, pieceChars: number) {
    this.#text = text;
    this.#valuesMax = valuesMax;
    this.#pieceChars = pieceChars;
    this.#at = text.startsWith('\uFEFF') ? 1 : 0;
    this.#from = this.#at;
  }

  /** Read so far. */
  get values(): number {
    return this.#values;
  }

  /** Parses one piece more. False: nothing is left, and `finish` gives the result. */
  advance(): boolean {
    const end = Math.min(this.#text.length, this.#at + this.#pieceChars);
    while (this.#at < end && this.#exceeded === undefined) this.#orMalformed(() => this.#walkTo(end));
    this.#orMalformed(() => this.#divide());
    return this.#exceeded === undefined && this.#at < this.#text.length;
  }

  finish(): DividedResult {
    if (this.#exceeded !== undefined) return { kind: 'exceeded', bound: this.#exceeded };
    this.#orMalformed(() => {
      if (this.#string !== undefined || this.#brackets.length > 0 || this.#built.length > 1) throw malformed();
      this.#parseTo(this.#text.length, true);
    });
    const values = this.#built[0]?.value;
    if (this.#isMalformed || !Array.isArray(values) || values.length !== 1) return { kind: 'malformed' };
    return { kind: 'value', value: values[0], isSuspect: this.#isSuspect };
  }

  #orMalformed(step: () => void): void {
    try {
      step();
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      this.#isMalformed = true;
    }
  }

  #walkTo(end: number): void {
    while (this.#at < end && this.#exceeded === undefined) {
      if (this.#string === undefined) this.#walk(end);
      else this.#walkString(this.#string, end);
    }
  }

  /** Up to `end` or the next quote. `#at` is behind a character before anything is parsed because of it. */
  #walk(end: number): void {
    const text = this.#text;
    for (let at = this.#at; at < end; at += 1) {
      const char = text.charCodeAt(at);
      switch (char) {
        case 0x22: // "
          this.#at = at + 1;
          this.#string = { at, long: undefined, isName: false, memberName: undefined };
          return;
        case 0x2c: // ,
          this.#at = at + 1;
          this.#values += 1;
          if (this.#isExceeded()) return;
          this.#onComma(at);
          break;
        case 0x5b: // [
        case 0x7b: // {
          this.#at = at + 1;
          this.#values += 1;
          this.#depth += 1;
          if (this.#isExceeded()) return;
          if (!this.#isMalformed) this.#brackets.push({ at, isList: char === 0x5b, comma: -1 });
          break;
        case 0x5d: // ]
        case 0x7d: // }
          this.#at = at + 1;
          this.#depth -= 1;
          this.#onClose(at, char === 0x5d);
          break;
        default:
      }
    }
    this.#at = end;
  }

  #isExceeded(): boolean {
    if (this.#depth > JSON_DEPTH_MAX) this.#exceeded = 'depth';
    else if (this.#values > this.#valuesMax) this.#exceeded = 'values';
    return this.#exceeded !== undefined;
  }

  /** Up to `end` or the closing quote. */
  #walkString(string: OpenString, end: number): void {
    while (this.#at < end) {
      // The search is not repeated in each piece of a long string.
      if (this.#quote < this.#at) this.#quote = indexOrEnd(this.#text, this.#at);
      this.#at = Math.min(end, this.#quote + 1);
      if (this.#quote >= end) return;
      if (isEscaped(this.#text, this.#quote)) continue;
      this.#string = undefined;
      this.#onStringEnd(string, this.#quote);
      return;
    }
  }

  #onStringEnd({ long, isName, memberName }: OpenString, quote: number): void {
    if (long === undefined || this.#isMalformed) return;
    const value = long.close(quote);
    const container = this.#innermost();
    if (isName) container.memberName = value;
    else this.#fill(container, memberName, value);
    this.#from = quote + 1;
  }

  #onComma(at: number): void {
    if (this.#isMalformed) return;
    const bracket = this.#brackets.at(-1);
    if (bracket !== undefined) {
      bracket.comma = at;
      return;
    }
    this.#comma = at;
    const { isFilled, memberName } = this.#innermost();
    if (isFilled || memberName !== undefined || at - this.#from >= this.#pieceChars) this.#parseTo(at, false);
  }

  #onClose(at: number, isList: boolean): void {
    if (this.#isMalformed) return;
    // What JSON.parse takes as a whole, it also compares with its opening bracket.
    if (this.#brackets.pop() !== undefined) return;
    const closed = this.#innermost();
    if (this.#built.length === 1 || Array.isArray(closed.value) !== isList) throw malformed();
    this.#parseTo(at, true);
    this.#built.pop();
    this.#fill(this.#innermost(), closed.name, closed.value);
    this.#comma = -1;
  }

  /** Parses the members that are complete, and divides the one that is not, if it is long already. */
  #divide(): void {
    if (this.#isMalformed || this.#exceeded !== undefined) return;
    while (this.#at - this.#from >= UNDIVIDED_PIECES * this.#pieceChars) {
      if (this.#comma >= this.#from) {
        this.#parseTo(this.#comma, false);
        continue;
      }
      const bracket = this.#brackets.shift();
      if (bracket === undefined) break;
      this.#built.push(newContainer(bracket.isList ? [] : {}, this.#nameBefore(bracket.at)));
      this.#from = bracket.at + 1;
      this.#comma = bracket.comma;
    }
    if (this.#string === undefined || this.#brackets.length > 0) return;
    if (this.#string.long === undefined) this.#beginLong(this.#string);
    this.#string.long?.takeUpTo(this.#at);
  }

  #beginLong(string: OpenString): void {
    if (this.#at - string.at < UNDIVIDED_PIECES * this.#pieceChars) return;
    const { value, memberName, isFilled } = this.#innermost();
    const isFirst = memberName === undefined && BLANK.test(this.#text.slice(this.#from, string.at));
    string.isName = !Array.isArray(value) && !isFilled && isFirst;
    string.memberName = string.isName ? undefined : this.#nameBefore(string.at);
    string.long = new LongString(this.#text, string.at + 1);
  }

  /** The name of the member whose value begins at `end`; undefined in a list. @throws SyntaxError if the text before
   *  `end` is anything else */
  #nameBefore(end: number): string | undefined {
    const container = this.#innermost();
    const { value, memberName } = container;
    const before = this.#text.slice(this.#from, end);
    if (container.isFilled) throw malformed();
    const colon = Array.isArray(value) ? -1 : before.lastIndexOf(':');
    if (!BLANK.test(before.slice(colon + 1))) throw malformed();
    if (Array.isArray(value)) return undefined;
    if (colon < 0) throw malformed();
    container.memberName = undefined;
    if (memberName !== undefined) {
      if (!BLANK.test(before.slice(0, colon))) throw malformed();
      return memberName;
    }
    const name: unknown = JSON.parse(before.slice(0, colon));
    if (typeof name !== 'string') throw malformed();
    return name;
  }

  /** Parses the members up to a comma, or up to the end of their container, and continues behind it. */
  #parseTo(end: number, isLast: boolean): void {
    const container = this.#innermost();
    const members = this.#text.slice(this.#from, end);
    this.#from = end + 1;
    const { memberName } = container;
    if (container.isFilled) {
      if (!BLANK.test(members)) throw malformed();
    } else if (memberName !== undefined) {
      const colon = COLON.exec(members)?.[0];
      if (colon === undefined) throw malformed();
      this.#fill(container, memberName, JSON.parse(members.slice(colon.length)));
      this.#noteSuspect(members);
    } else if (!isLast || !container.isEmpty || !BLANK.test(members)) {
      this.#addAll(container, members);
      this.#noteSuspect(members);
    }
    container.isFilled = false;
  }

  #addAll(container: Container, members: string): void {
    const { value } = container;
    container.isEmpty = false;
    if (Array.isArray(value)) {
      const parsed = JSON.parse(`[${members}]`) as unknown[];
      if (parsed.length === 0) throw malformed();
      for (const one of parsed) value.push(one);
      return;
    }
    const parsed = JSON.parse(`{${members}}`) as Record<string, unknown>;
    const names = Object.keys(parsed);
    if (names.length === 0) throw malformed();
    for (const name of names) setField(value, name, parsed[name]);
  }

  /** Adds the member whose value was parsed apart from the others. */
  #fill(container: Container, name: string | undefined, member: unknown): void {
    if (Array.isArray(container.value)) container.value.push(member);
    else {
      if (name === undefined) throw malformed();
      if (name === '__proto__' || name === 'constructor') this.#isSuspect = true;
      setField(container.value, name, member);
    }
    container.memberName = undefined;
    container.isFilled = true;
    container.isEmpty = false;
  }

  #noteSuspect(members: string): void {
    this.#isSuspect ||= SUSPECT.test(members);
  }

  #innermost(): Container {
    const container = this.#built.at(-1);
    if (container === undefined) throw new Error('the outermost container is never closed');
    return container;
  }
}

function newContainer(value: Container['value'], name: string | undefined): Container {
  return { value, name, memberName: undefined, isFilled: false, isEmpty: true };
}

/** As JSON.parse does: `__proto__` is a field like any other. */
function setField(fields: Record<string, unknown>, name: string, value: unknown): void {
  if (name === '__proto__')
    Object.defineProperty(fields, name, { value, configurable: true, enumerable: true, writable: true });
  else fields[name] = value;
}

function indexOrEnd(text: string, from: number): number {
  const quote = text.indexOf('"', from);
  return quote < 0 ? text.length : quote;
}

/** An even number of backslashes escape each other. */
function isEscaped(text: string, quote: number): boolean {
  let before = quote - 1;
  while (text.charCodeAt(before) === 0x5c) before -= 1;
  return (quote - 1 - before) % 2 === 1;
}

function malformed(): SyntaxError {
  return new SyntaxError('not JSON');
}

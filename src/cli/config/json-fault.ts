// Finds the first fault of a JSON text, by line and column, and what is expected there. The platform's parser gives no
// position for many faults, and quotes the text, which may contain a key. Pure; repeats nothing of the text.

export interface JsonFault {
  /** From 1, as editors count. */
  readonly line: number;
  readonly column: number;
  readonly what: string;
}

type Expected = 'value' | 'value or ]' | 'name' | 'name or }' | 'colon' | 'comma or end' | 'nothing';

const BAD_TEXT = 'a text without an end on its line, or with an escape that JSON does not have';

interface Container {
  readonly closes: ']' | '}';
  readonly names: Set<string>;
}

const SPACE = /[ \t\r\n]*/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const SCALAR = /(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)(?![A-Za-z0-9_.+-])/y;

/** The first fault; undefined for valid JSON in which no object has a field twice. */
export function findJsonFault(text: string): JsonFault | undefined {
  const scan = new JsonScan(text);
  const what = scan.run();
  return what === undefined ? undefined : { ...placeOf(text, scan.at), what };
}

function placeOf(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset).split('\n');
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
}

class JsonScan {
  readonly #text: string;
  readonly #open: Container[] = [];
  #expected: Expected = 'value';
  at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** The fault, with `at` at its position. */
  run(): string | undefined {
    for (;;) {
      this.#take(SPACE);
      if (this.at === this.#text.length)
        return this.#expected === 'nothing' ? undefined : `the text ends where ${this.#wanted()} is expected`;
      const fault = this.#step();
      if (fault !== undefined) return fault;
    }
  }

  #step(): string | undefined {
    const next = this.#text[this.at] ?? '';
    if (this.#text.startsWith('//', this.at) || this.#text.startsWith('/*', this.at)) return 'JSON has no comments';
    switch (this.#expected) {
      case 'name':
      case 'name or }':
        return next === '"' ? this.#name() : this.#endOr(next);
      case 'colon':
        return next === ':' ? this.#go(1, 'value') : this.#other(next);
      case 'comma or end':
        if (next === ',') return this.#go(1, this.#open.at(-1)?.closes === '}' ? 'name' : 'value');
        return this.#endOr(next);
      case 'value':
      case 'value or ]':
        return this.#value(next);
      case 'nothing':
        return 'there is more text after the end of the JSON value';
      default:
        return this.#expected satisfies never;
    }
  }

  #value(next: string): string | undefined {
    if (next === '{' || next === '[') {
      this.#open.push({ closes: next === '{' ? '}' : ']', names: new Set() });
      return this.#go(1, next === '{' ? 'name or }' : 'value or ]');
    }
    if (this.#take(next === '"' ? STRING : SCALAR) !== undefined) return this.#ended();
    return next === '"' ? BAD_TEXT : this.#endOr(next);
  }

  #name(): string | undefined {
    const start = this.at;
    const token = this.#take(STRING);
    if (token === undefined) return BAD_TEXT;
    const name = JSON.parse(token) as string;
    const names = this.#open.at(-1)?.names;
    if (names?.has(name) === true) {
      this.at = start;
      return 'this field stands twice in its object';
    }
    names?.add(name);
    this.#expected = 'colon';
    return undefined;
  }

  #endOr(next: string): string | undefined {
    const mayEnd =
      this.#expected === 'comma or end' || this.#expected === 'value or ]' || this.#expected === 'name or }';
    if (!mayEnd || next !== this.#open.at(-1)?.closes) return this.#other(next);
    this.#open.pop();
    this.at += 1;
    return this.#ended();
  }

  /** No fault: a value has ended. */
  #ended(): string | undefined {
    this.#expected = this.#open.length === 0 ? 'nothing' : 'comma or end';
    return undefined;
  }

  /** No fault: continues after these characters. */
  #go(chars: number, expected: Expected): string | undefined {
    this.at += chars;
    this.#expected = expected;
    return undefined;
  }

  /** Advances `at` by the match. */
  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    const [token] = pattern.exec(this.#text) ?? [];
    this.at += token?.length ?? 0;
    return token;
  }

  #other(next: string): string {
    if (next === "'") return 'texts stand in double quotes';
    if (next === ']' || next === '}')
      return `${this.#wanted()} is expected, and here is an end${this.#expected === 'name' || this.#expected === 'value' ? ': a comma too many?' : ''}`;
    return `${this.#wanted()} is expected`;
  }

  #wanted(): string {
    switch (this.#expected) {
      case 'value':
        return 'a value';
      case 'value or ]':
        return 'a value or ]';
      case 'name':
        return 'the name of a field in double quotes';
      case 'name or }':
        return 'the name of a field in double quotes or }';
      case 'colon':
        return 'a colon';
      case 'comma or end':
        return `a comma or ${this.#open.at(-1)?.closes ?? ''}`;
      case 'nothing':
        return 'nothing more';
      default:
        return this.#expected satisfies never;
    }
  }
}

// Parses large JSON from outside in slices: each takes a few ms of one turn of the event loop, so that live streams do
// not wait for it. One text is parsed at a time, whatever its route, because the slices of several would share a turn.
// The results are those of `parse-json.ts`; small texts are parsed there at once, which costs less.
import { isUtf8 } from 'node:buffer';
import type { Clock } from '../../base/clock.ts';
import { OneByOne } from '../../base/one-by-one.ts';
import { TurnSlice } from '../../base/turn-slice.ts';
import { DividedJson, PIECE_CHARS } from './divided-json.ts';
import type { JsonBound } from './json-bounds.ts';

/** Bytes, or characters of a text that has arrived as one, above which JSON is large. JSON.parse takes less than 1 ms
 *  below it, of the most expensive shapes about 3. */
export const LARGE_JSON_BYTES = 64 * 1024;
/** A token takes several turns from its model to its reader, and each of them may have a slice. */
const SLICE_MS = 2;
/** Pieces of a text (`divided-json.ts`) in one slice. */
const PIECES_PER_SLICE = 16;
/** Objects whose names are looked at in the time of one piece. */
const OBJECTS_PER_PIECE = 256;
const DECODED_BYTES = 128 * 1024;
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

export type ParsedJson = (
  | { readonly kind: 'value'; readonly value: unknown; readonly text: string }
  | { readonly kind: 'exceeded'; readonly bound: JsonBound }
  /** Not UTF-8, not JSON, or with a name that sets a prototype. */
  | { readonly kind: 'malformed' }
) & {
  /** How many were read. */
  readonly values: number;
};

export class LargeJson {
  readonly #clock: Pick<Clock, 'mono'>;
  readonly #pieceChars: number;
  readonly #underWay = new OneByOne<'text'>();

  constructor(clock: Pick<Clock, 'mono'>, pieceChars = PIECE_CHARS) {
    this.#clock = clock;
    this.#pieceChars = pieceChars;
  }

  parseBytes(bytes: Buffer, valuesMax: number): Promise<ParsedJson> {
    return this.#inTurn(async (slice) => {
      const text = await decodeInSlices(bytes, slice);
      return text === undefined ? { kind: 'malformed', values: 0 } : this.#parse(text, valuesMax, slice);
    });
  }

  parseText(text: string, valuesMax: number): Promise<ParsedJson> {
    return this.#inTurn((slice) => this.#parse(text, valuesMax, slice));
  }

  async #parse(text: string, valuesMax: number, slice: TurnSlice): Promise<ParsedJson> {
    const json = new DividedJson(text, valuesMax, this.#pieceChars);
    while (json.advance()) if (slice.isOver()) await slice.next();
    const result = json.finish();
    const { values } = json;
    if (result.kind !== 'value') return { ...result, values };
    const { value, isSuspect } = result;
    if (isSuspect && (await setsPrototype(value, slice))) return { kind: 'malformed', values };
    return { kind: 'value', value, text, values };
  }

  /** What follows has a turn of its own, too. */
  #inTurn(parse: (slice: TurnSlice) => Promise<ParsedJson>): Promise<ParsedJson> {
    return this.#underWay.run('text', async () => {
      const slice = new TurnSlice(this.#clock, { sliceMs: SLICE_MS, sliceItems: PIECES_PER_SLICE });
      await slice.next();
      const parsed = await parse(slice);
      await slice.next();
      return parsed;
    });
  }
}

/** Undefined when the bytes are not UTF-8. A byte order mark is dropped. */
async function decodeInSlices(bytes: Buffer, slice: TurnSlice): Promise<string | undefined> {
  if (!isUtf8(bytes)) return undefined;
  const pieces: string[] = [];
  const begin = bytes.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK) ? BYTE_ORDER_MARK.length : 0;
  for (let from = begin; from < bytes.length;) {
    let to = Math.min(bytes.length, from + DECODED_BYTES);
    while (isContinuation(bytes[to])) to -= 1;
    pieces.push(bytes.toString('utf8', from, to));
    from = to;
    if (slice.isOver()) await slice.next();
  }
  return pieces.join('');
}

/** A byte inside of a character. */
function isContinuation(byte = 0): boolean {
  return (byte & 0xc0) === 0x80;
}

/** Has any object in the value a name that sets a prototype where the object is copied? As secure-json-parse sees
 *  it. */
async function setsPrototype(value: unknown, slice: TurnSlice): Promise<boolean> {
  const left: unknown[] = [value];
  for (let looked = 1; left.length > 0; looked += 1) {
    const one = left.pop();
    if (typeof one !== 'object' || one === null) continue;
    if (Object.hasOwn(one, '__proto__') || isConstructorWithPrototype(one)) return true;
    for (const member of Object.values(one)) if (typeof member === 'object' && member !== null) left.push(member);
    if (looked % OBJECTS_PER_PIECE === 0 && slice.isOver()) await slice.next();
  }
  return false;
}

function isConstructorWithPrototype(fields: object): boolean {
  if (!Object.hasOwn(fields, 'constructor')) return false;
  const { constructor: own } = fields as { readonly constructor: unknown };
  return typeof own === 'object' && own !== null && Object.hasOwn(own, 'prototype');
}

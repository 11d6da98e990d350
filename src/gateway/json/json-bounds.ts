// What JSON from outside may be made of, looked at before it is parsed: a small text of many small values costs a parser,
// and everything that walks what it made, a hundred times what its bytes suggest. One pass over the text, that goes over
// strings without looking into them and stops at the first value too many. Says nothing of whether it is JSON.
import { GatewayError } from '../gateway-error.ts';

/** Arrays and objects within each other. Prompts with tool schemas have some ten. */
export const JSON_DEPTH_MAX = 64;
/** Values of one text, counted by what separates and opens them. A prompt of 256 parts, each with a large tool result,
 *  has some thousand. */
export const JSON_VALUES_MAX = 10_000;

/** Tells whoever sent it. */
export function tooManyValues(): GatewayError {
  return new GatewayError('too-large', { message: `JSON of more than ${JSON_VALUES_MAX} values is not read` });
}

export type JsonBound = 'depth' | 'values';

/** Which bound the text is over; undefined for a text within them. */
export function boundExceeded(text: string): JsonBound | undefined {
  let values = 1;
  let depth = 0;
  for (let i = 0; i < text.length; i += 1) {
    switch (text.charCodeAt(i)) {
      case 0x22: // "
        i = stringEnd(text, i);
        break;
      case 0x2c: // ,
        values += 1;
        break;
      case 0x5b: // [
      case 0x7b: // {
        values += 1;
        depth += 1;
        if (depth > JSON_DEPTH_MAX) return 'depth';
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth -= 1;
        break;
      default:
    }
    if (values > JSON_VALUES_MAX) return 'values';
  }
  return undefined;
}

/** Where the string that begins at `start` ends; the end of the text where it does not. */
function stringEnd(text: string, start: number): number {
  for (let quote = text.indexOf('"', start + 1); quote >= 0; quote = text.indexOf('"', quote + 1)) {
    let before = quote - 1;
    while (text.charCodeAt(before) === 0x5c) before -= 1;
    // An even number of backslashes are characters of the string, and so the quote is none.
    if ((quote - 1 - before) % 2 === 0) return quote;
  }
  return text.length;
}

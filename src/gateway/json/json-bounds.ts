// Bounds the depth and the number of values of JSON from outside, before it is parsed. A small text of many small
// values costs a parser, and all code that walks its result, a hundred times what its bytes suggest. The check is one
// pass over the text: it skips the insides of strings and stops at the first value above the bound. It does not check
// whether the text is JSON; `parse-json.ts` does.
import { GatewayError } from '../gateway-error.ts';

/** Nested arrays and objects. Prompts with tool schemas have about ten levels. */
export const JSON_DEPTH_MAX = 64;
/** Values in one text, counted by their commas and opening brackets. A prompt of 256 parts, each with a large tool
 *  result, has some thousand. */
export const JSON_VALUES_MAX = 10_000;

/** The error for the sender of a text that exceeds a bound; undefined for a text within both. */
export function boundError(text: string, valuesMax = JSON_VALUES_MAX): GatewayError | undefined {
  const bound = boundExceeded(text, valuesMax);
  return bound === undefined ? undefined : errorOfBound(bound, valuesMax);
}

export type JsonBound = 'depth' | 'values';

export function errorOfBound(bound: JsonBound, valuesMax: number): GatewayError {
  switch (bound) {
    case 'depth':
      return new GatewayError('json-too-deep', { message: `JSON of more than ${JSON_DEPTH_MAX} levels is not read` });
    case 'values':
      return new GatewayError('too-large', { message: `JSON of more than ${valuesMax} values is not read` });
  }
}

/** The bound that the text exceeds; undefined for a text within both. */
export function boundExceeded(text: string, valuesMax = JSON_VALUES_MAX): JsonBound | undefined {
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
    if (values > valuesMax) return 'values';
  }
  return undefined;
}

/** The index of the closing quote of the string that begins at `start`; the length of the text if there is none. */
function stringEnd(text: string, start: number): number {
  for (let quote = text.indexOf('"', start + 1); quote >= 0; quote = text.indexOf('"', quote + 1)) {
    let before = quote - 1;
    while (text.charCodeAt(before) === 0x5c) before -= 1;
    // An even number of backslashes escape each other, so the quote closes the string.
    if ((quote - 1 - before) % 2 === 0) return quote;
  }
  return text.length;
}

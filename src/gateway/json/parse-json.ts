// Parses JSON from outside: HTTP bodies, WebSocket frames and token claims. It accepts UTF-8 only, refuses names that
// set a prototype, and keeps to the bounds of `json-bounds.ts`, so that recursive encoders can walk the result.
import sjson from 'secure-json-parse';
import { boundExceeded, JSON_VALUES_MAX } from './json-bounds.ts';

/** Undefined when the text is not JSON, exceeds a bound, or names a prototype. */
export function parseJson(text: string, valuesMax = JSON_VALUES_MAX): { readonly value: unknown } | undefined {
  if (boundExceeded(text, valuesMax) !== undefined) return undefined;
  try {
    return { value: sjson.parse(text, undefined, { protoAction: 'error', constructorAction: 'error' }) as unknown };
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Undefined when the bytes are not UTF-8. A byte order mark is dropped. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

/** Is the value an object, and neither null nor an array? */
export function isFields(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Does any object in this valid JSON have the same name twice? Some parsers take the first value and others the last,
 *  so a token with a duplicate name is ambiguous. */
export function hasDuplicateNames(json: string): boolean {
  const open: (Set<string> | undefined)[] = [];
  const token = /"(?:[^"\\]|\\.)*"(\s*:)?|[{}[\]]/gs;
  for (const [text, colon] of json.matchAll(token)) {
    if (text === '{') open.push(new Set());
    else if (text === '[') open.push(undefined);
    else if (text === '}' || text === ']') open.pop();
    else if (colon !== undefined) {
      const name = JSON.parse(text.slice(0, -colon.length)) as string;
      const names = open.at(-1);
      if (names?.has(name) === true) return true;
      names?.add(name);
    }
  }
  return false;
}

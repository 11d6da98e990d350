// JSON from outside, parsed once: bytes that are UTF-8, text that is JSON, no names that reach for a prototype,
// no deeper than our own recursive encoders can follow, and of no more values than json-bounds.ts allows. For HTTP bodies, WebSocket frames and token claims.
import sjson from 'secure-json-parse';
import { boundExceeded } from './json-bounds.ts';

/** Undefined where it is not JSON that we take. */
export function parseJson(text: string): { readonly value: unknown } | undefined {
  if (boundExceeded(text) !== undefined) return undefined;
  try {
    return { value: sjson.parse(text, undefined, { protoAction: 'error', constructorAction: 'error' }) as unknown };
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Undefined where the bytes are not UTF-8. A byte order mark is dropped. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

/** A plain object, with names to look up. */
export function isFields(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Does any object in this valid JSON name one thing twice? Parsers take the last, other parsers the first, and a
 *  token that means two things means nothing. */
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

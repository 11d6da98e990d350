// JSON from outside, parsed once: bytes that are UTF-8, text that is JSON, no names that reach for a prototype,
// and no deeper than our own recursive encoders can follow. For HTTP bodies, WebSocket frames and token claims.
import sjson from 'secure-json-parse';

/** Arrays and objects within each other. Prompts with tool schemas have some ten. */
export const JSON_DEPTH_MAX = 64;

/** Undefined where it is not JSON that we take. */
export function parseJson(text: string): { readonly value: unknown } | undefined {
  let value: unknown;
  try {
    value = sjson.parse(text, undefined, { protoAction: 'error', constructorAction: 'error' }) as unknown;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
  return isShallow(value) ? { value } : undefined;
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

/** Level by level, because a recursive look at a body that is all brackets would itself overflow the stack. */
function isShallow(value: unknown): boolean {
  let level = isContainer(value) ? [value] : [];
  for (let depth = 1; level.length > 0; depth += 1) {
    if (depth > JSON_DEPTH_MAX) return false;
    level = level.flatMap((one) => Object.values(one).filter(isContainer));
  }
  return true;
}

function isContainer(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
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

// The JSON of a large value: its size from below without making it, and its text in pieces. Pure. The value is one that
// JSON.parse gives, or is made of such values.

/** Characters of a piece, and of a value that is one piece. */
const PIECE_CHARS = 64 * 1024;
/** Lists and objects inside of each other that are divided. */
const DIVIDED_LEVELS = 3;

/** UTF-8 bytes that the JSON has at least. It reads lengths only: what is far too large is refused before any work
 *  reads its text. */
export function jsonBytesAtLeast(value: unknown): number {
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object' || value === null) return 0;
  if (Array.isArray(value)) return value.reduce<number>((sum, one) => sum + jsonBytesAtLeast(one), 0);
  let sum = 0;
  for (const member of Object.values(value)) sum += jsonBytesAtLeast(member);
  return sum;
}

/** Together they are the text of JSON.stringify. A string, and what is further inside, is never divided. */
export function* jsonPieces(value: unknown): Generator<string, undefined> {
  if (jsonBytesAtLeast(value) <= PIECE_CHARS) {
    yield JSON.stringify(value);
    return;
  }
  let piece = '';
  for (const fragment of fragmentsOf(value, DIVIDED_LEVELS)) {
    piece += fragment;
    if (piece.length < PIECE_CHARS) continue;
    yield piece;
    piece = '';
  }
  yield piece;
}

function* fragmentsOf(value: unknown, levels: number): Generator<string, undefined> {
  if (levels === 0 || typeof value !== 'object' || value === null) {
    yield JSON.stringify(value ?? null);
    return;
  }
  const isList = Array.isArray(value);
  let separator = isList ? '[' : '{';
  for (const [name, member] of Object.entries(value) as [string, unknown][]) {
    if (!isList && member === undefined) continue;
    yield isList ? separator : `${separator}${JSON.stringify(name)}:`;
    yield* fragmentsOf(member, levels - 1);
    separator = ',';
  }
  if (separator !== ',') yield separator;
  yield isList ? ']' : '}';
}

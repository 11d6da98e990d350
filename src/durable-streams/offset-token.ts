// The offset tokens of a durable stream: `<16 digits>_<epoch>`. The number counts the records of the stream behind its
// first one, so a token rises as text while the stream grows; the epoch tells a stream from another one that had its
// name before. Pure.

/** A position between two appends. */
export interface StreamOffset {
  /** Records with data before this position. The first record of the topic has none, so it is not counted. */
  readonly count: number;
  /** Undefined: the start of the stream, in whichever epoch. */
  readonly epoch: string | undefined;
}

const DIGITS = 16;
const TOKEN = /^(\d{16})_([A-Za-z0-9_-]{1,40})$/;
/** The start of any stream. Clients write it as the reference server does. */
const START = '0'.repeat(DIGITS);

export function encodeOffset(count: number, epoch: string): string {
  return `${String(count).padStart(DIGITS, '0')}_${epoch}`;
}

/** Undefined for a text that is no token. A number that no stream can reach is a token all the same: it is beyond the
 *  end of every stream. */
export function parseOffset(text: string): StreamOffset | undefined {
  const [, digits, epoch] = TOKEN.exec(text) ?? [];
  if (digits === undefined || epoch === undefined) return undefined;
  return { count: Number(digits), epoch: digits === START && epoch === START ? undefined : epoch };
}

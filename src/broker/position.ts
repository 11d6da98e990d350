// A position in a topic: an epoch, and the offset of a record in that epoch. An offset alone cannot prove that the
// history is still the one that a reader saw; the epoch can.

export interface Position {
  readonly epoch: string;
  readonly offset: number;
}

/** `[A-Za-z0-9_-]`, so that a position fits a URL, an SSE id and a header without quoting. PROTOCOL §1. */
const EPOCH = /^[A-Za-z0-9_-]{1,40}$/;
/** No leading zeros, at most 15 digits: every accepted number is exact in a double and has one spelling. */
const OFFSET = /^(0|[1-9][0-9]{0,14})$/;

/** `<epoch>.<offset>`, under 64 bytes (a longer Last-Event-ID would cost browsers a preflight). */
export function encodePosition(position: Position): string {
  return `${position.epoch}.${position.offset}`;
}

/** The position, or undefined if the text is not one. Accepts only what `encodePosition` prints. */
export function parsePosition(text: string): Position | undefined {
  const dot = text.indexOf('.');
  if (dot < 0) return undefined;
  const epoch = text.slice(0, dot);
  const offset = text.slice(dot + 1);
  if (!EPOCH.test(epoch) || !OFFSET.test(offset)) return undefined;
  return { epoch, offset: Number(offset) };
}

// Decodes what scripts publish on a topic's channel (append.ts, topic-lua.ts): `end`, or one line and the data after
// it:
//   add <epoch> <first> <next> <last major> <expires at> <supersedes: 1 or 0> <kinds> <lengths in bytes>
// With `-` for kinds and lengths, the message carries no records: readers read them from the log.
import type { LogRecord } from '../../broker.ts';

export interface AddMessage {
  readonly kind: 'add';
  readonly epoch: string;
  readonly first: number;
  readonly next: number;
  readonly lastMajor: number;
  readonly expiresAt: number | undefined;
  readonly supersedes: boolean;
  /** Undefined where readers must read them from the log. */
  readonly records: readonly LogRecord[] | undefined;
}

export type WatchMessage = AddMessage | { readonly kind: 'end' };

const NEWLINE = 10;

/** Undefined for a payload of another form. The watch then makes its readers read the log. */
export function decodeMessage(payload: Buffer): WatchMessage | undefined {
  const newline = payload.indexOf(NEWLINE);
  if (newline < 0) return payload.toString() === 'end' ? { kind: 'end' } : undefined;
  const [kind, epoch, first, next, lastMajor, expires, supersedes, kinds, lengths] = payload
    .toString('latin1', 0, newline)
    .split(' ');
  if (kind !== 'add' || epoch === undefined || kinds === undefined || lengths === undefined) return undefined;
  const from = Number(first);
  return {
    kind,
    epoch,
    first: from,
    next: Number(next),
    lastMajor: Number(lastMajor),
    expiresAt: expires === '-' ? undefined : Number(expires),
    supersedes: supersedes === '1',
    records: kinds === '-' ? undefined : recordsOf(payload, newline + 1, from, kinds, lengths.split(',')),
  };
}

function recordsOf(
  payload: Buffer,
  start: number,
  first: number,
  kinds: string,
  lengths: readonly string[],
): LogRecord[] {
  let at = start;
  return lengths.map((length, i) => {
    const from = at;
    at += Number(length);
    return { kind: 'record', offset: first + i, major: kinds[i] === 'M', data: payload.toString('utf8', from, at) };
  });
}

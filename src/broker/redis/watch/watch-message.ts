// Decodes what scripts publish. On a topic's channel (append.ts, topic-lua.ts): `end`, or one line and the data after
// it:
//   add <epoch> <first> <next> <last major> <expires at> <supersedes: 1 or 0> <kinds> <lengths in bytes>
// With `-` for kinds and lengths, the message carries no records: readers read them from the log.
// On the channel of a batch (append-batch.ts): a line for each item, an empty line, and the data of all items. All
// records are minor.
//   <topic> <data in bytes> <epoch> <first> <expires at> <lengths in bytes>
import type { LogRecord } from '../../broker.ts';
import type { LiteTopicName } from '../../lite-topic.ts';

export interface AddMessage {
  readonly kind: 'add';
  readonly epoch: string;
  readonly first: number;
  readonly next: number;
  /** Of the topic, or -1 where none of the records is major. */
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

/** Who follows one topic. */
export interface BatchFollower {
  /** Undefined for an item of another form. */
  batched(message: AddMessage | undefined): void;
}

/** Gives each item of a batch to the follower of its topic. Items without one are skipped by their line, and nothing
 *  of their data is decoded. Returns false for a payload of another form. */
export function deliverBatch(
  payload: Buffer,
  followerOf: (topic: LiteTopicName) => BatchFollower | undefined,
): boolean {
  const end = payload.indexOf('\n\n');
  if (end < 0) return false;
  let from = end + 2;
  for (const line of payload.toString('latin1', 0, end).split('\n')) {
    const first = line.indexOf(' ');
    const second = line.indexOf(' ', first + 1);
    const to = from + Number(line.slice(first + 1, second));
    if (first < 1 || second < 0 || !(to <= payload.length)) return false;
    const follower = followerOf(line.slice(0, first) as LiteTopicName);
    follower?.batched(decodeItem(payload, from, line.slice(second + 1)));
    from = to;
  }
  return true;
}

function decodeItem(payload: Buffer, start: number, line: string): AddMessage | undefined {
  const [epoch, first, expires, lengths] = line.split(' ');
  if (epoch === undefined || lengths === undefined) return undefined;
  const from = Number(first);
  const records = recordsOf(payload, start, from, '', lengths.split(','));
  return {
    kind: 'add',
    epoch,
    first: from,
    next: from + records.length,
    lastMajor: -1,
    expiresAt: expires === '-' ? undefined : Number(expires),
    supersedes: false,
    records,
  };
}

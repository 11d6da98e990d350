// Reads the requests of durable streams: names, headers and query parameters. Pure. What a header says wrongly is
// refused with the header's name.
import type { IncomingHttpHeaders } from 'node:http';
import { parseOffset, type StreamOffset } from '../../../durable-streams/offset-token.ts';
import type { ProducerState } from '../../../durable-streams/stream-rules.ts';
import { StreamRefusal } from './stream-refusals.ts';

export const NAME_CHARS_MAX = 1024;
const PRODUCER_ID_CHARS_MAX = 256;
const SEQ_CHARS_MAX = 256;
const TYPE_CHARS_MAX = 256;
/** The content type of a stream whose creator named none. */
const DEFAULT_TYPE = 'application/octet-stream';

/** Plain digits without zeros in front. */
const WHOLE = /^(0|[1-9]\d{0,15})$/;
/** A media type and its parameters. [RFC 9110 §8.3.1] */
const CONTENT_TYPE = /^[!#$%&'*+.^_`|~\w-]+\/[!#$%&'*+.^_`|~\w-]+\s*(;.*)?$/;
/** [RFC 3339 §5.6] */
const TIMESTAMP = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$/i;

/** @throws StreamRefusal invalid-name */
export function streamName(name: string): string {
  if (name.length === 0 || name.length > NAME_CHARS_MAX) throw new StreamRefusal('invalid-name');
  return name;
}

/** Of which stream a fork is made, and where. */
export interface ForkHeaders {
  /** The name of the source. */
  readonly source: string;
  /** The token as the request has it; undefined: the end of the source. */
  readonly offset: string | undefined;
  readonly subOffset: number;
}

/** The name of the source is given as the path of its URL, with or without the path of the mount. */
const SOURCE = /^(?:\/ds)?\/v1\/stream\/(.+)$/;
const OFFSET_CHARS_MAX = 64;

/** Undefined: the request makes no fork. @throws StreamRefusal invalid-header */
export function readFork(headers: IncomingHttpHeaders): ForkHeaders | undefined {
  const source = readText(headers, 'stream-forked-from', 3 * NAME_CHARS_MAX);
  const offset = readText(headers, 'stream-fork-offset', OFFSET_CHARS_MAX);
  const subOffset = readWhole(headers, 'stream-fork-sub-offset');
  if (source === undefined) {
    if (offset === undefined && subOffset === undefined) return undefined;
    throw invalid('stream-forked-from', 'a fork needs Stream-Forked-From');
  }
  const [, path] = SOURCE.exec(source) ?? [];
  if (path === undefined) throw invalid('stream-forked-from', 'Stream-Forked-From is the path of a stream');
  return { source: streamName(decodePath(path)), offset, subOffset: subOffset ?? 0 };
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw invalid('stream-forked-from');
  }
}

/** What a PUT asks for. */
export interface CreateHeaders {
  /** Undefined: the request names none. */
  readonly type: string | undefined;
  readonly ttl: number | undefined;
  readonly expiresAt: number | undefined;
  readonly closes: boolean;
}

/** @throws StreamRefusal invalid-header */
export function readCreate(headers: IncomingHttpHeaders): CreateHeaders {
  const ttl = readWhole(headers, 'stream-ttl');
  const expiresAt = readTimestamp(headers, 'stream-expires-at');
  if (ttl !== undefined && expiresAt !== undefined)
    throw invalid('stream-ttl', 'Stream-TTL and Stream-Expires-At exclude each other');
  return { type: readType(headers), ttl, expiresAt, closes: closesStream(headers) };
}

export function typeOrDefault(type: string | undefined): string {
  return type ?? DEFAULT_TYPE;
}

export interface AppendHeaders {
  readonly type: string | undefined;
  readonly closes: boolean;
  readonly seq: string | undefined;
  readonly producer: ProducerState | undefined;
}

/** @throws StreamRefusal invalid-header */
export function readAppend(headers: IncomingHttpHeaders): AppendHeaders {
  return {
    type: readType(headers),
    closes: closesStream(headers),
    seq: readText(headers, 'stream-seq', SEQ_CHARS_MAX),
    producer: readProducer(headers),
  };
}

function readProducer(headers: IncomingHttpHeaders): ProducerState | undefined {
  const id = readText(headers, 'producer-id', PRODUCER_ID_CHARS_MAX);
  const epoch = readWhole(headers, 'producer-epoch');
  const seq = readWhole(headers, 'producer-seq');
  if (id === undefined && epoch === undefined && seq === undefined) return undefined;
  if (id === undefined || epoch === undefined || seq === undefined)
    throw invalid('producer-id', 'Producer-Id, Producer-Epoch and Producer-Seq come together');
  return { id, epoch, seq };
}

function closesStream(headers: IncomingHttpHeaders): boolean {
  return one(headers, 'stream-closed')?.toLowerCase() === 'true';
}

function readType(headers: IncomingHttpHeaders): string | undefined {
  const type = readText(headers, 'content-type', TYPE_CHARS_MAX);
  if (type !== undefined && !CONTENT_TYPE.test(type)) throw invalid('content-type');
  return type;
}

function readText(headers: IncomingHttpHeaders, name: string, max: number): string | undefined {
  const text = one(headers, name);
  if (text !== undefined && (text === '' || text.length > max)) throw invalid(name);
  return text;
}

function readWhole(headers: IncomingHttpHeaders, name: string): number | undefined {
  const text = one(headers, name);
  if (text === undefined) return undefined;
  if (!WHOLE.test(text) || Number(text) > Number.MAX_SAFE_INTEGER) throw invalid(name);
  return Number(text);
}

function readTimestamp(headers: IncomingHttpHeaders, name: string): number | undefined {
  const text = one(headers, name);
  if (text === undefined) return undefined;
  const at = TIMESTAMP.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at)) throw invalid(name);
  return at;
}

function one(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}

function invalid(header: string, message = `${header} is malformed`): StreamRefusal {
  return new StreamRefusal('invalid-header', { message });
}

export interface ReadQuery {
  readonly offset: StreamOffset | 'now';
  readonly live: 'long-poll' | 'sse' | undefined;
  readonly cursor: number | undefined;
}

const START: StreamOffset = { count: 0, epoch: undefined };

/** Parameters that the protocol does not have are ignored. @throws StreamRefusal */
export function readQuery(query: Readonly<Record<string, unknown>>): ReadQuery {
  const { offset, live, cursor } = query;
  if (live !== undefined && live !== 'long-poll' && live !== 'sse') throw new StreamRefusal('invalid-live');
  if (live !== undefined && offset === undefined) throw new StreamRefusal('offset-required');
  return {
    offset: readOffset(offset),
    live,
    cursor: typeof cursor === 'string' && WHOLE.test(cursor) ? Number(cursor) : undefined,
  };
}

function readOffset(offset: unknown): StreamOffset | 'now' {
  if (offset === undefined || offset === '-1') return START;
  if (offset === 'now') return offset;
  const parsed = typeof offset === 'string' ? parseOffset(offset) : undefined;
  if (parsed === undefined) throw new StreamRefusal('invalid-offset');
  return parsed;
}

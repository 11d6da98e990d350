// The records of a durable stream's topic. The first record holds what never changes (`StreamConfig`); every later one
// holds data, or closes the stream and ends the topic. An append is one or several records; its last record holds the
// state of the stream after it, so one read of the newest record is enough for the next decision. Pure.
import { isUtf8 } from 'node:buffer';
import type { NewRecord } from '../broker/broker.ts';
import type { LiteTopicName } from '../broker/lite-topic.ts';
import type { StreamState } from './stream-rules.ts';

/** Bytes of data in one record. Their base64 and the largest state fit a record of 1 MiB. */
export const RECORD_DATA_BYTES = 512 * 1024;

/** What a stream is. It never changes. */
export interface StreamConfig {
  readonly name: string;
  /** The content type, as its creator wrote it. */
  readonly type: string;
  /** Seconds without a read or an append after which the stream ends. */
  readonly ttl?: number;
  /** ms since 1970. */
  readonly expiresAt?: number;
  readonly fork?: ForkOrigin;
}

/** What a fork was made of. */
export interface ForkOrigin {
  /** The topic of the source, and its epoch. */
  readonly source: string;
  readonly epoch: string;
  /** What the creator asked for; undefined: the end of the source. */
  readonly offset?: string;
  readonly subOffset: number;
  /** Tokens of these epochs, up to these counts, are valid in the fork. */
  readonly inherited: readonly { readonly epoch: string; readonly upTo: number }[];
}

/** A stream at one moment. */
export interface LoadedStream {
  readonly topic: LiteTopicName;
  readonly epoch: string;
  readonly config: StreamConfig;
  readonly state: StreamState;
  /** The offset of the newest record. */
  readonly at: number;
  /** The count of the offset token at the end of the stream. */
  readonly tail: number;
}

/** The first line of a record, before its data. */
interface RecordHeader {
  /** The data is base64. */
  readonly b?: 1;
  /** The next record continues this append. */
  readonly m?: 1;
  /** The record continues an append. */
  readonly c?: 1;
  /** The record has no data: it closes the stream. */
  readonly e?: 1;
  readonly s?: StreamState | undefined;
  /** In the first record only. */
  readonly config?: StreamConfig;
  /** A fork is being copied, and is not visible yet. */
  readonly copying?: 1;
}

export interface StreamRecord {
  readonly data: Buffer;
  readonly isContinued: boolean;
  readonly isContinuation: boolean;
  readonly isEmpty: boolean;
  readonly isCopying: boolean;
  readonly state: StreamState;
  readonly config: StreamConfig | undefined;
}

const NO_STATE: StreamState = {};

export function encodeConfig(config: StreamConfig, state: StreamState): NewRecord {
  return record({ ...stateField(state), config }, '');
}

/** One append. Without data it only closes the stream. */
export function encodeAppend(data: Buffer, state: StreamState): NewRecord[] {
  const last = stateField(state);
  if (data.length === 0) return [record({ e: 1, ...last }, '')];
  const records: NewRecord[] = [];
  for (let from = 0; from < data.length;) {
    const end = partEnd(data, from);
    const part = data.subarray(from, end);
    const isText = isUtf8(part);
    const header = {
      ...(isText ? {} : ({ b: 1 } as const)),
      ...(from > 0 ? ({ c: 1 } as const) : {}),
      ...(end < data.length ? ({ m: 1 } as const) : last),
    };
    records.push(record(header, isText ? part.toString() : part.toString('base64')));
    from = end;
  }
  return records;
}

/** @throws SyntaxError: the record is not one of a stream */
export function decodeRecord(text: string): StreamRecord {
  const header = headerOf(text);
  return {
    data: Buffer.from(text.slice(text.indexOf('\n') + 1), header.b === 1 ? 'base64' : 'utf8'),
    isContinued: header.m === 1,
    isContinuation: header.c === 1,
    isEmpty: header.e === 1,
    isCopying: header.copying === 1,
    state: header.s ?? NO_STATE,
    config: header.config,
  };
}

/** Does the next record continue the append of this one? */
export function isContinued(text: string): boolean {
  return headerOf(text).m === 1;
}

/** A record of a source as its fork has it: the same data, and no state. */
export function copyRecord(text: string): NewRecord {
  return record({ ...headerOf(text), s: undefined }, text.slice(text.indexOf('\n') + 1));
}

/** The record as the newest one of a fork that is not complete yet. */
export function markCopying({ data }: NewRecord): NewRecord {
  return record({ ...headerOf(data), copying: 1 }, data.slice(data.indexOf('\n') + 1));
}

function headerOf(text: string): RecordHeader {
  const end = text.indexOf('\n');
  return (end <= 0 ? {} : JSON.parse(text.slice(0, end))) as RecordHeader;
}

function record(header: RecordHeader, data: string): NewRecord {
  const line = JSON.stringify(header);
  return { major: true, data: `${line === '{}' ? '' : line}\n${data}` };
}

function stateField(state: StreamState): { readonly s?: StreamState } {
  return Object.keys(state).length === 0 ? {} : { s: state };
}

/** Does not cut a character of UTF-8 text in two. */
function partEnd(data: Buffer, from: number): number {
  const end = Math.min(from + RECORD_DATA_BYTES, data.length);
  if (end === data.length) return end;
  let cut = end;
  while (cut > end - 4 && ((data[cut] ?? 0) & 0xc0) === 0x80) cut -= 1;
  return cut > end - 4 ? cut : end;
}

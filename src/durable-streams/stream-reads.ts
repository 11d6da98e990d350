// Reads the data of durable streams: whole appends from an offset token on, until a chunk is full or the stream ends.
// A chunk never ends inside an append, so every token that a reader holds is one between two appends.
import type { Broker, LogItem, ReadResult } from '../broker/broker.ts';
import { BrokerError } from '../broker/errors.ts';
import type { StreamOffset } from './offset-token.ts';
import { decodeRecord, type LoadedStream } from './stream-records.ts';

/** Bytes of stored data after which a read ends with the append that it is in. */
export const CHUNK_BYTES = 256 * 1024;

export interface StreamChunk {
  /** The data of each append, in order. */
  readonly appends: readonly Buffer[];
  /** The count of the token behind the data. */
  readonly next: number;
}

/** Gathers the records of a stream into whole appends. */
export class AppendGatherer {
  #parts: Buffer[] = [];
  #appends: Buffer[] = [];
  #bytes = 0;
  #next: number;
  #isClosed = false;

  /** `count`: of the token at which the reader begins. */
  constructor(count: number) {
    this.#next = count;
  }

  /** The reader has the data of all appends before this token. */
  get next(): number {
    return this.#next;
  }

  /** A record says that the stream is closed. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  get isInsideAppend(): boolean {
    return this.#parts.length > 0;
  }

  /** Bytes of appends that nobody has taken yet. */
  get bytes(): number {
    return this.#bytes;
  }

  /** False: the reader began inside an append, where no token points. @throws BrokerError corrupt */
  add(items: readonly LogItem[]): boolean {
    for (const item of items) {
      if (item.kind !== 'record') throw new BrokerError('corrupt', 'records of a stream are lost');
      const { data, isContinued, isContinuation, isEmpty, config, state } = decodeRecord(item.data);
      if (isContinuation !== this.isInsideAppend) return false;
      if (state.closed === true) this.#isClosed = true;
      if (config !== undefined || isEmpty) continue;
      this.#parts.push(data);
      this.#bytes += data.length;
      if (isContinued) continue;
      const [only] = this.#parts;
      this.#appends.push(only !== undefined && this.#parts.length === 1 ? only : Buffer.concat(this.#parts));
      this.#parts = [];
      this.#next = item.offset;
    }
    return true;
  }

  /** The appends since the last call. */
  take(): readonly Buffer[] {
    const appends = this.#appends;
    this.#appends = [];
    this.#bytes = 0;
    return appends;
  }
}

/** `gone`: the stream has been removed or made again. `inside`: the token points inside an append. */
export async function readChunk(
  broker: Broker,
  { topic, epoch, tail }: LoadedStream,
  count: number,
): Promise<StreamChunk | 'gone' | 'inside'> {
  const gatherer = new AppendGatherer(count);
  let offset = count + 1;
  while (offset <= tail && (gatherer.bytes < CHUNK_BYTES || gatherer.isInsideAppend)) {
    const result: ReadResult = await broker.read(topic, { epoch, offset }, { maxBytes: CHUNK_BYTES });
    if (result.kind !== 'batch') return 'gone';
    // What came after the stream was loaded is left for the next read: `tail` and the state belong together.
    if (!gatherer.add(result.items.filter((item) => firstOffset(item) <= tail))) return 'inside';
    offset = result.next;
  }
  return { appends: gatherer.take(), next: gatherer.next };
}

export function firstOffset(item: LogItem): number {
  return item.kind === 'record' ? item.offset : item.from;
}

/** The count of a token in this stream. `gone`: it is one of an earlier stream with this name. `beyond`: the stream has
 *  no such position. */
export function resolveOffset({ epoch, config, tail }: LoadedStream, offset: StreamOffset): number | 'gone' | 'beyond' {
  if (offset.epoch === undefined) return offset.count;
  if (offset.epoch !== epoch) {
    const inherited = config.fork?.inherited.find((one) => one.epoch === offset.epoch);
    if (inherited === undefined) return 'gone';
    if (offset.count > inherited.upTo) return 'gone';
  }
  return offset.count > tail ? 'beyond' : offset.count;
}

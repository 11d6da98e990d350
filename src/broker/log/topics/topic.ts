// One topic in memory: what readers may see of it, what it will be once everything pending has been committed, and
// where its records stand. Writes are decided on `pending` and become `visible` when their batch is durable. Knows
// no file: chunks that are not in memory come from a loader.
import type { LogRecord, NewRecord, Priority, Reset, TopicInfo } from '../../broker.ts';
import type { AppendSubject, TopicState } from '../../append-rules.ts';
import type { LiteTopicName } from '../../lite-topic.ts';
import type { Position } from '../../position.ts';
import type { TailReader } from '../../tail/tail-reader.ts';
import type { WakeList } from '../../tail/wake-list.ts';
import type { FrameWrite, FrameLocation } from '../format/frame-codec.ts';
import { CHUNK_RECORDS, RecordChunk, type ChunkImage } from './record-chunk.ts';

/** Clean chunks of one topic kept beside its last, for a reader that pages through it. */
const CHUNKS_KEPT = 8;
/** UTF-16 code units of a record that is kept as an object. Larger ones are rare, and there may be many topics. */
const CACHED_CHARS_MAX = 4096;

export interface TopicVersion {
  readonly state: TopicState;
  /** The epoch as the log knows it, and the era in which the topic was made. */
  readonly base: string;
  readonly era: number;
  readonly ttlMs: number | undefined;
  readonly expiresAt: number | undefined;
  readonly priority: Priority;
}

export interface Tombstone {
  readonly reason: 'expired' | 'removed';
  readonly epoch: string;
  readonly next: number;
  /** By the engine's time. */
  readonly at: number;
}

/** A life's chunks in the index, to be deleted at the next checkpoint. */
export interface EndedEpoch {
  readonly id: number;
  readonly chunks: number;
}

export interface TopicContext {
  loadChunk(topicId: number, index: number): RecordChunk;
  newTopicId(): number;
  /** Live records and bytes of a segment changed. */
  count(segment: number, change: number): void;
}

export class Topic implements AppendSubject {
  readonly name: LiteTopicName;
  readonly #context: TopicContext;
  id = 0;
  visible: TopicVersion | undefined;
  pending: TopicVersion | undefined;
  /** Frames on their way to the disk. */
  waiting = 0;
  tombstone: Tombstone | undefined;
  /** UTF-8 bytes of the live records. */
  bytes = 0;
  /** First offset not consumed, by group. */
  consumed: Map<string, number> | undefined;
  /** The key under which the expiry index knows the topic; 0 for none. Minus zero, because that is kept as times are: were
   *  it a small integer, the first checkpoint would give all topics another shape, and the engine would have to compile
   *  everything anew that it has compiled for the one they had, while a thousand streams wait. */
  indexedAt = -0;
  dirty = false;
  /** Captured for a checkpoint that is not yet durable: the index cannot give it back yet. */
  capturing = false;
  /** Appends that are being decided: loading their other topics must not push this one out. */
  pins = 0;
  /** The last record, where somebody waited for it: a reader that keeps up need not look for it in the log's bytes. */
  lastRecord: LogRecord | undefined;
  /** Since the idle sweep last came by. */
  used = true;
  /** Of the newest. */
  #lastRecordEpoch = '';
  /** Attached tails, each with the next: of all records, and of majors only, which a token does not come by. */
  #readers: TailReader | undefined;
  #majorReaders: TailReader | undefined;
  #pendingMajors: number[] = [];
  #chunks = new Map<number, RecordChunk>();
  /** The last that was looked at: appends ask for the same one five hundred times. */
  #chunk: RecordChunk | undefined;

  constructor(name: LiteTopicName, context: TopicContext) {
    this.name = name;
    this.#context = context;
  }

  /** What the next write is decided on. */
  get state(): TopicState | undefined {
    return this.pending?.state;
  }

  get evictable(): boolean {
    return (
      !this.dirty &&
      !this.capturing &&
      this.waiting === 0 &&
      this.pins === 0 &&
      this.#readers === undefined &&
      this.#majorReaders === undefined
    );
  }

  /** What a reader that keeps up reads next, mostly: the record there, if it is the last and in memory. */
  lastRecordAt({ epoch, offset }: Position): LogRecord | undefined {
    return this.lastRecord?.offset === offset && this.#lastRecordEpoch === epoch ? this.lastRecord : undefined;
  }

  addReader(reader: TailReader): void {
    if (reader.majorOnly) this.#majorReaders = before(this.#majorReaders, reader);
    else this.#readers = before(this.#readers, reader);
  }

  removeReader(reader: TailReader): void {
    if (reader.majorOnly) this.#majorReaders = without(this.#majorReaders, reader);
    else this.#readers = without(this.#readers, reader);
  }

  /** Marks every reader that has something new to read. A minor record does not wake the readers of majors only. */
  markReaders(major: boolean, wakes: WakeList): void {
    for (let one = this.#readers; one !== undefined; one = one.beside) wakes.markReader(one);
    if (!major) return;
    for (let one = this.#majorReaders; one !== undefined; one = one.beside) wakes.markReader(one);
  }

  /** Every reader gets the topic's end as its last result. */
  endReaders(tombstone: Tombstone, wakes: WakeList): void {
    const reset = this.endReset(tombstone);
    for (let one = this.#readers; one !== undefined; one = one.beside) one.end(reset);
    for (let one = this.#majorReaders; one !== undefined; one = one.beside) one.end(reset);
    this.markReaders(true, wakes);
  }

  forget(): void {
    this.lastRecord = undefined;
    this.#chunk = undefined;
    this.#chunks.clear();
  }

  chunkOf(offset: number): RecordChunk {
    const index = Math.floor(offset / CHUNK_RECORDS);
    if (this.#chunk?.index !== index) this.#chunk = this.#chunks.get(index) ?? this.#loadChunk(index);
    return this.#chunk;
  }

  /** Of the chunks that have changed, which are clean from here on. */
  takeDirtyChunks(): ChunkImage[] {
    const images: ChunkImage[] = [];
    for (const chunk of this.#chunks.values()) if (chunk.dirty) images.push(chunk.image());
    return images;
  }

  /** Of the pending state: no major in `from` to `to`, inclusive. */
  isMinor(from: number, to: number): boolean {
    if (this.#pendingMajors.some((offset) => offset >= from && offset <= to)) return false;
    const visible = this.visible;
    // Offsets of a life that has not begun on disk are all pending.
    if (visible === undefined || visible.base !== this.pending?.base || visible.state.lastMajor < from) return true;
    const last = Math.min(to, visible.state.next - 1);
    for (let offset = from; offset <= last; offset++) {
      const chunk = this.chunkOf(offset);
      if (!chunk.hasMajors) offset += CHUNK_RECORDS - (offset % CHUNK_RECORDS) - 1;
      else if (chunk.isMajor(offset % CHUNK_RECORDS)) return false;
    }
    return true;
  }

  expect(version: TopicVersion, first: number, records: readonly { readonly major: boolean }[]): void {
    for (let i = 0; i < records.length; i++) if (records[i]?.major === true) this.#pendingMajors.push(first + i);
    this.pending = version;
    this.waiting += 1;
  }

  expectEnd(): void {
    this.pending = undefined;
    this.#pendingMajors = [];
    this.waiting += 1;
  }

  /** What was pending did not reach the disk. */
  fallBack(): void {
    this.pending = this.visible;
    this.#pendingMajors = [];
    this.waiting = 0;
  }

  /** A write is durable and stands at `location`: readers may see it. `size`: a record's UTF-8 bytes. */
  apply(
    version: TopicVersion,
    write: FrameWrite<{ readonly major: boolean; readonly size: number }>,
    location: FrameLocation,
  ): void {
    if (write.created !== undefined) this.#begin();
    if (write.supersedes !== undefined)
      for (const [from, to] of write.supersedes) this.#supersede(from, to, write.first);
    let offset = write.first;
    for (const { major, size } of write.records) {
      const chunk = offset % CHUNK_RECORDS === 0 ? this.#newChunk(offset) : this.chunkOf(offset);
      chunk.push(location.segment, location.position, location.length, size * 2 + (major ? 1 : 0));
      this.bytes += size;
      this.#context.count(location.segment, size + 1);
      offset += 1;
    }
    this.visible = version;
    // Offsets of the next life, already pending behind this one, are other offsets.
    if (this.#pendingMajors.length > 0 && this.pending?.base === version.base) {
      this.#pendingMajors = this.#pendingMajors.filter((major) => major >= version.state.next);
    }
  }

  /** For those who wait for it. Only of what `apply` has just made visible. */
  cacheLastRecord(first: number, records: readonly NewRecord[]): void {
    const last = records.at(-1);
    if (last === undefined) return;
    const isCached = this.#readers !== undefined && last.data.length <= CACHED_CHARS_MAX;
    this.#lastRecordEpoch = this.visible?.state.epoch ?? '';
    this.lastRecord = isCached
      ? { kind: 'record', offset: first + records.length - 1, major: last.major, data: last.data }
      : undefined;
  }

  /** The topic's end is durable. Gives what the index still holds of it. */
  end(tombstone: Tombstone): EndedEpoch {
    const ended = { id: this.id, chunks: Math.ceil(tombstone.next / CHUNK_RECORDS) };
    for (let offset = 0; offset < tombstone.next; offset++) this.#release(this.chunkOf(offset), offset % CHUNK_RECORDS);
    this.#clear();
    this.visible = undefined;
    this.tombstone = tombstone;
    return ended;
  }

  endReset(tombstone: Tombstone): Reset {
    return { kind: 'reset', reason: tombstone.reason, epoch: tombstone.epoch, earliest: 0, next: tombstone.next };
  }

  #begin(): void {
    this.#clear();
    this.id = this.#context.newTopicId();
    this.tombstone = undefined;
  }

  #clear(): void {
    this.forget();
    this.bytes = 0;
    this.consumed = undefined;
    this.id = 0;
  }

  #newChunk(offset: number): RecordChunk {
    const chunk = new RecordChunk(offset / CHUNK_RECORDS);
    this.#chunks.set(chunk.index, chunk);
    this.#chunk = chunk;
    return chunk;
  }

  #loadChunk(index: number): RecordChunk {
    if (this.#chunks.size >= CHUNKS_KEPT) this.#dropCleanChunks();
    const chunk = this.#context.loadChunk(this.id, index);
    this.#chunks.set(index, chunk);
    return chunk;
  }

  #supersede(from: number, to: number, by: number): void {
    for (let offset = from; offset <= to; offset++) {
      const chunk = this.chunkOf(offset);
      this.#release(chunk, offset % CHUNK_RECORDS);
      chunk.supersede(offset % CHUNK_RECORDS, by);
    }
  }

  #release(chunk: RecordChunk, slot: number): void {
    if (chunk.holeBy(slot) >= 0) return;
    const size = chunk.size(slot);
    this.bytes -= size;
    this.#context.count(chunk.segment(slot), -(size + 1));
  }

  #dropCleanChunks(): void {
    if (this.capturing) return;
    const last = Math.floor(((this.visible?.state.next ?? 1) - 1) / CHUNK_RECORDS);
    for (const [index, chunk] of this.#chunks) if (!chunk.dirty && index !== last) this.#chunks.delete(index);
  }
}

export function infoOf({ name, visible: version, bytes }: Topic): TopicInfo | undefined {
  if (version === undefined) return undefined;
  const { epoch, next, lastMajor, fence } = version.state;
  const info = { topic: name, epoch, earliest: 0, next, lastMajor, fence, bytes };
  if (version.ttlMs === undefined || version.expiresAt === undefined) return info;
  return { ...info, ttlMs: version.ttlMs, expiresAt: version.expiresAt };
}

function before(first: TailReader | undefined, reader: TailReader): TailReader {
  reader.beside = first;
  return reader;
}

function without(first: TailReader | undefined, reader: TailReader): TailReader | undefined {
  if (first === reader) return reader.beside;
  let one = first;
  while (one !== undefined && one.beside !== reader) one = one.beside;
  if (one !== undefined) one.beside = reader.beside;
  return first;
}

// One topic in memory: what readers may see of it, what it will be once all pending writes are committed, and where its
// records are. Writes are decided on `pending` and become `visible` when their batch is durable. It opens no file: a
// loader supplies chunks that are not in memory.
import type { LogRecord, NewRecord, Priority, Reset, TopicInfo } from '../../broker.ts';
import type { AppendSubject, TopicState } from '../../append-rules.ts';
import { lifetimeOf, type TopicLife } from '../../lifetime.ts';
import type { LiteTopicName } from '../../lite-topic.ts';
import type { Position } from '../../position.ts';
import type { Account } from '../../accounts.ts';
import type { TailReader } from '../../tail/tail-reader.ts';
import type { WakeList } from '../../tail/wake-list.ts';
import type { FrameWrite, FrameLocation } from '../format/frame-codec.ts';
import type { Delivered, GroupProgress } from './group-progress.ts';
import { CHUNK_RECORDS, LOST, RecordChunk, type ChunkImage } from './record-chunk.ts';

/** Clean chunks that a topic keeps beside its last, for a reader that pages through it. */
const CHUNKS_KEPT = 8;
/** The UTF-16 code units of the largest last record that is cached. Larger records are rare, and there may be many
 *  topics. */
const CACHED_CHARS_MAX = 4096;

export interface TopicVersion {
  readonly state: TopicState;
  /** The epoch as the log holds it, and the era in which the topic was made. */
  readonly base: string;
  readonly era: number;
  /** How often records of this epoch turned out to be damaged. */
  readonly damages: number;
  readonly ttlMs: number | undefined;
  readonly expiresAt: number | undefined;
  readonly life: TopicLife | undefined;
  readonly priority: Priority;
  /** `besideBytes` */
  readonly beside: number;
  readonly notBefore: number | undefined;
}

export type OffsetRange = readonly [from: number, to: number];

/** The epoch without the era that an unclean restart adds. */
export function epochText(base: string, damages: number): string {
  return damages === 0 ? base : `${base}_${damages}`;
}

export interface Tombstone {
  readonly reason: 'expired' | 'removed';
  readonly epoch: string;
  readonly next: number;
  /** ms since 1970, in the engine's time. */
  readonly at: number;
}

/** The chunks of an ended epoch in the index, which the next checkpoint deletes. */
export interface EndedEpoch {
  readonly id: number;
  readonly chunks: number;
}

export interface TopicContext {
  loadChunk(topicId: number, index: number): RecordChunk;
  newTopicId(): number;
  accountOf(topic: LiteTopicName): Account | undefined;
  /** The live records of a segment have changed: their number, and the bytes of their text. */
  count(segment: number, records: number, bytes: number): void;
}

export class Topic implements AppendSubject, GroupProgress {
  readonly name: LiteTopicName;
  readonly #context: TopicContext;
  /** The account that the topic counts for. */
  readonly account: Account | undefined;
  id = 0;
  visible: TopicVersion | undefined;
  pending: TopicVersion | undefined;
  /** The number of frames of this topic that are not durable yet. */
  waiting = 0;
  tombstone: Tombstone | undefined;
  /** UTF-8 bytes of the live records. */
  bytes = 0;
  /** Group → the first offset that it has not consumed. */
  consumed: Map<string, number> | undefined;
  /** Group → how often it was handed the record that follows. */
  delivered: Map<string, Delivered> | undefined;
  /** The time in this topic's key of the expiry index; 0 for no key. The initial value is minus zero, so that the
   *  field holds a double from the start, as times do. With a small integer, the first checkpoint would change the
   *  hidden class of all topics, and V8 would recompile all code for them while a thousand streams wait.
   *  (hot: ADR 7 §5) */
  indexedAt = -0;
  dirty = false;
  /** A checkpoint that is not yet durable has captured the topic: the index cannot load it yet. */
  capturing = false;
  /** The number of appends that are being decided on this topic: loading their other topics must not remove this
   *  one. */
  pins = 0;
  /** The last record, cached while a live reader follows the topic, so that the reader does not have to read it back
   *  from the log. */
  lastRecord: LogRecord | undefined;
  /** Used since the hand of the table last passed. */
  used = true;
  /** The epoch of `lastRecord`. */
  #lastRecordEpoch = '';
  /** The attached tails, as linked lists: one for all records, and one for majors only, which a token does not walk. */
  #readers: TailReader | undefined;
  #majorReaders: TailReader | undefined;
  #pendingMajors: number[] = [];
  #chunks = new Map<number, RecordChunk>();
  /** The chunk that was used last: about five hundred appends in a row use the same one. */
  #chunk: RecordChunk | undefined;

  constructor(name: LiteTopicName, context: TopicContext) {
    this.name = name;
    this.#context = context;
    this.account = context.accountOf(name);
  }

  /** The state on which the next write is decided. */
  get state(): TopicState | undefined {
    return this.pending?.state;
  }

  get evictable(): boolean {
    return !this.dirty && !this.capturing && this.waiting === 0 && this.pins === 0 && !this.hasReaders;
  }

  /** The record at the position, if it is the cached last one: usually what a reader that keeps up reads next. */
  lastRecordAt({ epoch, offset }: Position): LogRecord | undefined {
    return this.lastRecord?.offset === offset && this.#lastRecordEpoch === epoch ? this.lastRecord : undefined;
  }

  get hasReaders(): boolean {
    return this.#readers !== undefined || this.#majorReaders !== undefined;
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

  /** The live ones of these offsets, as ascending ranges. */
  liveIn(ranges: readonly OffsetRange[]): [from: number, to: number][] {
    const live: [from: number, to: number][] = [];
    for (const [from, to] of ranges) {
      for (let offset = from; offset <= Math.min(to, (this.visible?.state.next ?? 0) - 1); offset++) {
        if (this.chunkOf(offset).holeBy(offset % CHUNK_RECORDS) >= 0) continue;
        const last = live.at(-1);
        if (last !== undefined && last[1] === offset - 1) last[1] = offset;
        else live.push([offset, offset]);
      }
    }
    return live;
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

  /** Images of the changed chunks. Marks them as clean. */
  takeDirtyChunks(): ChunkImage[] {
    const images: ChunkImage[] = [];
    for (const chunk of this.#chunks.values()) if (chunk.dirty) images.push(chunk.image());
    return images;
  }

  /** Whether no pending or visible major record is in `from` to `to`, inclusive. */
  isMinor(from: number, to: number): boolean {
    if (this.#pendingMajors.some((offset) => offset >= from && offset <= to)) return false;
    const visible = this.visible;
    // In an epoch that has not begun on disk, all offsets are pending.
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

  expectDamage(version: TopicVersion): void {
    this.pending = version;
    this.waiting += 1;
  }

  expectEnd(): void {
    this.pending = undefined;
    this.#pendingMajors = [];
    this.waiting += 1;
  }

  /** Moves the expiry without a write. Only while no write is pending. */
  expireAt(expiresAt: number): void {
    if (this.visible === undefined || this.waiting > 0) return;
    this.visible = { ...this.visible, expiresAt };
    this.pending = this.visible;
  }

  /** The pending writes did not reach the disk. */
  fallBack(): void {
    this.pending = this.visible;
    this.#pendingMajors = [];
    this.waiting = 0;
  }

  /** A write is durable at `location`: readers may see it. `size`: a record's UTF-8 bytes. */
  apply(
    version: TopicVersion,
    write: FrameWrite<{ readonly major: boolean; readonly size: number }>,
    location: FrameLocation,
  ): void {
    if (write.created !== undefined) this.#begin(version);
    const before = this.bytes + (this.visible?.beside ?? 0);
    if (write.supersedes !== undefined)
      for (const [from, to] of write.supersedes) this.#supersede(from, to, write.first);
    let offset = write.first;
    for (const { major, size } of write.records) {
      const chunk = offset % CHUNK_RECORDS === 0 ? this.#newChunk(offset) : this.chunkOf(offset);
      chunk.push(location.segment, location.position, location.length, size * 2 + (major ? 1 : 0));
      this.bytes += size;
      this.#context.count(location.segment, 1, size);
      offset += 1;
    }
    this.visible = version;
    this.account?.addBytes(this.bytes + version.beside - before);
    // The next epoch may already be pending behind this write; its offsets are other offsets.
    if (this.#pendingMajors.length > 0 && this.pending?.base === version.base) {
      this.#pendingMajors = this.#pendingMajors.filter((major) => major >= version.state.next);
    }
  }

  /** The records from `first` on that are in the segment `from` are at `to` now. Others among them were superseded
   *  meanwhile. Whether any was moved. */
  relocate(from: number, first: number, count: number, to: FrameLocation): boolean {
    let hasMoved = false;
    const end = Math.min(first + count, this.visible?.state.next ?? 0);
    for (let offset = first; offset < end; offset++) {
      const chunk = this.chunkOf(offset);
      const slot = offset % CHUNK_RECORDS;
      if (chunk.holeBy(slot) >= 0 || chunk.segment(slot) !== from) continue;
      const size = chunk.size(slot);
      this.#context.count(from, -1, -size);
      this.#context.count(to.segment, 1, size);
      chunk.relocate(slot, to);
      hasMoved = true;
    }
    return hasMoved;
  }

  /** The declaration that these records are lost is durable. What was superseded meanwhile stays a hole. */
  lose(version: TopicVersion, ranges: readonly OffsetRange[]): void {
    const before = this.bytes;
    for (const [from, to] of this.liveIn(ranges)) this.#supersede(from, to, LOST);
    this.account?.addBytes(this.bytes - before);
    this.lastRecord = undefined;
    this.visible = version;
  }

  /** The records from the end of the topic to `version.state.next` were written, and nothing of them was found. */
  loseUnread(version: TopicVersion): void {
    if (this.visible?.base !== version.base) this.#begin(version);
    for (let offset = this.visible?.state.next ?? 0; offset < version.state.next; offset++)
      (offset % CHUNK_RECORDS === 0 ? this.#newChunk(offset) : this.chunkOf(offset)).pushLost();
    this.visible = version;
    this.pending = version;
  }

  /** Caches the last record of a write for live readers. Only for the write that `apply` has just made visible. */
  cacheLastRecord(first: number, records: readonly NewRecord[]): void {
    const last = records.at(-1);
    if (last === undefined) return;
    const isCached = this.#readers !== undefined && last.data.length <= CACHED_CHARS_MAX;
    this.#lastRecordEpoch = this.visible?.state.epoch ?? '';
    this.lastRecord = isCached
      ? { kind: 'record', offset: first + records.length - 1, major: last.major, data: last.data }
      : undefined;
  }

  /** The topic's end is durable. Returns what the index still holds of it. */
  end(tombstone: Tombstone): EndedEpoch {
    const ended = { id: this.id, chunks: Math.ceil(tombstone.next / CHUNK_RECORDS) };
    const release = (segment: number, records: number, bytes: number): void =>
      this.#context.count(segment, -records, -bytes);
    for (let offset = 0; offset < tombstone.next; offset += CHUNK_RECORDS) this.chunkOf(offset).forEachSeries(release);
    if (this.visible !== undefined) this.account?.topicEnded(this.bytes + this.visible.beside);
    this.#clear();
    this.visible = undefined;
    this.tombstone = tombstone;
    return ended;
  }

  endReset(tombstone: Tombstone): Reset {
    return { kind: 'reset', reason: tombstone.reason, epoch: tombstone.epoch, earliest: 0, next: tombstone.next };
  }

  #begin({ expiresAt = 0, ttlMs = 0, life }: TopicVersion): void {
    this.#clear();
    // Without a TTL there is no time of the write in the log.
    this.account?.topicMade(life?.bornAt ?? expiresAt - ttlMs);
    this.id = this.#context.newTopicId();
    this.tombstone = undefined;
  }

  #clear(): void {
    this.forget();
    this.bytes = 0;
    this.consumed = undefined;
    this.delivered = undefined;
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
    this.#context.count(chunk.segment(slot), -1, -size);
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
  return { ...info, ...lifetimeOf(version.ttlMs, version.expiresAt, version.life) };
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

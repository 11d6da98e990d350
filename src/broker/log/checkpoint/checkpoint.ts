// Writes what is true of the log up to one position into the index, in one transaction, so that a start replays only
// what follows. It captures its content by reference at a batch boundary, in slices of some ms: one for the topics of a
// busy node, and commits wait meanwhile. It encodes in shorter slices between appends, and the index thread writes.
// Afterwards it removes segments to which nothing points any more.
import { setImmediate } from 'node:timers/promises';
import type { Clock } from '../../../base/clock.ts';
import { TurnSlice, type SliceLimits } from '../../../base/turn-slice.ts';
import { TOMBSTONE_MS } from '../../broker.ts';
import type { LiteTopicName } from '../../lite-topic.ts';
import type { AccountFigures, Accounts } from '../../accounts.ts';
import { ByteReader } from '../format/byte-reader.ts';
import type { ByteWriter } from '../format/byte-writer.ts';
import { isCode } from '../disk/log-files.ts';
import type { DiskReserve } from '../disk/disk-reserve.ts';
import type { LogPosition } from '../format/batch-codec.ts';
import type { ChunkImage } from '../topics/record-chunk.ts';
import type { SegmentFigures, Segments } from '../disk/segments.ts';
import { encodeAccounts } from '../topics/stored-accounts.ts';
import type { DamageAccount } from '../topics/damage-account.ts';
import { encodeTopicEntry, type TopicEntry } from '../topics/topic-codec.ts';
import { IndexChanges } from '../topics/index-changes.ts';
import type { StoreName } from '../topics/index-stores.js';
import { chunkKey, expiryKey, topicKey, type TopicIndex } from '../topics/topic-index.ts';
import type { TopicTable } from '../topics/topic-table.ts';
import type { EndedEpoch, Topic } from '../topics/topic.ts';
import type { IndexCopies } from './index-copies.ts';
import { PROCESS_RUN_KEY, type ProcessRun } from './process-run.ts';

const CHECKPOINT_KEY = 'checkpoint';
const TIME_KEY = 'time';
const DAMAGE_KEY = 'damage';
const LOST_PARTS_KEY = 'lost-parts';

/** Changes encoded in one turn of the event loop, about 0.2 ms: on a busy node a turn comes every half millisecond.
 *  (hot: ADR 7 §6) */
const CHANGES_A_TURN = 64;
/** Topics that are captured in one turn, as a multiple of `sliceItems`: as many as may have changed. Commits wait for
 *  each further turn, and a turn of a busy node has much other work, so only the time ends a slice here. */
const CAPTURED_ITEMS = 16;
/** Room for the recorded time. */
const TIME_BYTES = 64;

export interface CheckpointState {
  readonly position: LogPosition;
  readonly time: number;
  readonly nextTopicId: number;
  readonly segments: readonly SegmentFigures[];
}

/** A topic as it was when the checkpoint began. */
interface TopicImage extends TopicEntry {
  readonly name: LiteTopicName;
  readonly indexedBefore: number;
  readonly chunks: readonly ChunkImage[];
}

/** What a checkpoint captures beside the topics. */
interface Rest {
  readonly ended: readonly EndedEpoch[];
  readonly groups: readonly (readonly [group: string, pattern: string])[];
  readonly state: CheckpointState;
  readonly run: ProcessRun;
  /** The damaged topics, and the lost parts of the log, if they have changed. */
  readonly damage: string | undefined;
  /** What has changed of them. Undefined if they are not counted. */
  readonly accounts: readonly (readonly [name: string, figures: AccountFigures])[] | undefined;
  readonly lostParts: string | undefined;
}

type SavedDamage = Pick<DamageAccount, 'takeChanged' | 'takeChangedParts' | 'keepParts'>;

export interface CheckpointParts {
  readonly clock: Pick<Clock, 'mono'>;
  readonly limits: SliceLimits;
  readonly index: TopicIndex;
  readonly table: TopicTable;
  readonly segments: Segments;
  readonly reserve: DiskReserve;
  readonly damage: SavedDamage;
  readonly accounts: Pick<Accounts, 'counts' | 'takeChanged'>;
  readonly copies: Pick<IndexCopies, 'mayRemove'>;
}

export class Checkpoint {
  readonly #index: TopicIndex;
  readonly #table: TopicTable;
  readonly #segments: Segments;
  readonly #reserve: DiskReserve;
  readonly #damage: SavedDamage;
  readonly #accounts: Pick<Accounts, 'counts' | 'takeChanged'>;
  readonly #copies: Pick<IndexCopies, 'mayRemove'>;
  /** A transaction that found no room on the device leaves its changes here; the next one begins with them. */
  readonly #changes = new IndexChanges();
  readonly #slice: TurnSlice;
  #turnEnd = CHANGES_A_TURN;
  /** Topics that are captured and not yet readable from the index. */
  #captured: Topic[] = [];
  #groups: (readonly [group: string, pattern: string])[] = [];

  constructor({ clock, limits, index, table, segments, reserve, damage, accounts, copies }: CheckpointParts) {
    this.#slice = new TurnSlice(clock, { ...limits, sliceItems: CAPTURED_ITEMS * limits.sliceItems });
    this.#index = index;
    this.#table = table;
    this.#segments = segments;
    this.#reserve = reserve;
    this.#damage = damage;
    this.#accounts = accounts;
    this.#copies = copies;
  }

  addGroup(group: string, pattern: string): void {
    this.#groups.push([group, pattern]);
  }

  /**
   * Calls `captured` when it has captured everything; everything in the log before `position` must be on the device,
   * and no frame may become durable before that. Resolves when the checkpoint is durable and the segments that it made
   * superfluous are removed, or wait for a copy of the index.
   */
  async write(position: LogPosition, time: number, run: ProcessRun, captured?: () => void): Promise<void> {
    const images = await this.#captureTopics(time);
    const { rest, dead } = this.#captureRest(position, time, run);
    captured?.();
    await this.#finish(rest, images, dead);
  }

  async #captureTopics(time: number): Promise<readonly TopicImage[]> {
    const images: TopicImage[] = [];
    this.#slice.begin();
    for (const topic of this.#table.takeDirty()) {
      // Waits before the topic and not behind the last one: a few topics are captured in the turn of the call.
      if (images.length > 0 && this.#slice.isOver()) await this.#slice.next();
      images.push(captureTopic(topic, time));
      this.#captured.push(topic);
    }
    return images;
  }

  #captureRest(position: LogPosition, time: number, run: ProcessRun): { rest: Rest; dead: readonly number[] } {
    // The table leaves dead segments out: otherwise a crash half way through their removal would look like a loss.
    const dead = this.#segments.dead(position.segment);
    const segments = [...this.#segments.all()].filter(({ id }) => !dead.includes(id)).map((one) => ({ ...one }));
    this.#damage.keepParts(segments.map(({ id }) => id).sort((a, b) => a - b));
    const state = { position, time, nextTopicId: this.#table.nextTopicId, segments };
    const rest = {
      ended: this.#table.endedEpochs,
      groups: this.#groups,
      state,
      run,
      damage: this.#damage.takeChanged(),
      accounts: captureAccounts(this.#accounts),
      lostParts: this.#damage.takeChangedParts(),
    };
    this.#table.endedEpochs = [];
    this.#groups = [];
    return { rest, dead };
  }

  /** Records only the time, for an idle log. Without room on the device the last recorded time stays. */
  async recordTime(time: number): Promise<void> {
    const changes = new IndexChanges(TIME_BYTES);
    put(changes, 'state', TIME_KEY, (into) => into.varint(time));
    try {
      await this.#index.apply(changes);
    } catch (error) {
      if (!isCode(error, 'ENOSPC')) throw error;
    }
  }

  async #finish(rest: Rest, images: readonly TopicImage[], dead: readonly number[]): Promise<void> {
    const changes = this.#changes;
    for (const ended of rest.ended) {
      for (let index = 0; index < ended.chunks; index++) {
        changes.remove('chunks', chunkKey(ended.id, index));
        if (this.#isTurnOver()) await setImmediate();
      }
    }
    encodeRest(changes, rest);
    for (const image of images) {
      encodeTopic(changes, image);
      if (this.#isTurnOver()) await setImmediate();
    }
    // It may use the reserve: without the checkpoint no removal frees room.
    await this.#reserve.use(() => this.#index.apply(changes));
    changes.clear();
    await this.#release();
    if (await this.#copies.mayRemove(dead.length > 0)) await this.#segments.unlink(dead);
  }

  /** The index has the captured topics: they may leave memory. */
  async #release(): Promise<void> {
    const captured = this.#captured;
    this.#captured = [];
    this.#slice.begin();
    for (const topic of captured) {
      topic.capturing = false;
      if (this.#slice.isOver()) await this.#slice.next();
    }
  }

  #isTurnOver(): boolean {
    const { count } = this.#changes;
    if (count < this.#turnEnd && count + CHANGES_A_TURN > this.#turnEnd) return false;
    this.#turnEnd = count + CHANGES_A_TURN;
    return true;
  }
}

function encodeRest(changes: IndexChanges, { groups, state, run, damage, lostParts, accounts }: Rest): void {
  if (accounts !== undefined) encodeAccounts(changes, accounts);
  if (damage !== undefined) put(changes, 'state', DAMAGE_KEY, (into) => into.bytes(Buffer.from(damage)));
  if (lostParts !== undefined) put(changes, 'state', LOST_PARTS_KEY, (into) => into.bytes(Buffer.from(lostParts)));
  for (const [group, pattern] of groups)
    put(changes, 'groups', group, (into) => into.bytes(Buffer.from(pattern, 'latin1')));
  put(changes, 'state', CHECKPOINT_KEY, (into) => encodeState(into, state));
  put(changes, 'state', PROCESS_RUN_KEY, (into) => into.bytes(Buffer.from(JSON.stringify(run))));
}

function encodeTopic(changes: IndexChanges, image: TopicImage): void {
  const { name, indexedBefore, indexedAt, version, tombstone, chunks } = image;
  const key = topicKey(name);
  if (indexedAt !== indexedBefore) {
    if (indexedBefore !== 0) changes.remove('expiry', expiryKey(indexedBefore, name));
    if (indexedAt !== 0) changes.put('expiry', expiryKey(indexedAt, name), nothing);
  }
  if (version === undefined && tombstone === undefined) {
    changes.remove('topics', key);
    return;
  }
  changes.put('topics', key, (into) => encodeTopicEntry(into, image));
  for (const chunk of chunks) changes.put('chunks', chunkKey(image.id, chunk.index), (into) => chunk.encode(into));
}

function nothing(): void {
  // The key says everything.
}

function captureAccounts(accounts: Pick<Accounts, 'counts' | 'takeChanged'>): Rest['accounts'] {
  if (!accounts.counts) return undefined;
  return [...accounts.takeChanged()].map(({ name, figures }) => [name, figures] as const);
}

function captureTopic(topic: Topic, time: number): TopicImage {
  topic.dirty = false;
  topic.capturing = true;
  const { name, id, bytes, visible: version, consumed, delivered, indexedAt: indexedBefore } = topic;
  const tombstone =
    topic.tombstone !== undefined && topic.tombstone.at + TOMBSTONE_MS > time ? topic.tombstone : undefined;
  const due = version?.expiresAt ?? (tombstone === undefined ? 0 : tombstone.at + TOMBSTONE_MS);
  if (mustMove(indexedBefore, due, time)) topic.indexedAt = due;
  const chunks = version === undefined ? [] : topic.takeDirtyChunks();
  return {
    name,
    id,
    bytes,
    version,
    tombstone,
    consumed: consumed === undefined ? undefined : new Map(consumed),
    delivered: delivered === undefined ? undefined : new Map(delivered),
    indexedBefore,
    indexedAt: topic.indexedAt,
    chunks,
  };
}

/** Whether the index must move the topic's expiry. A later time is found when the indexed time comes (expiry.ts), so
 *  that a topic that is written to does not move with each checkpoint: such moves would be two of three changes. */
function mustMove(indexedAt: number, due: number, time: number): boolean {
  if (indexedAt === due) return false;
  return indexedAt === 0 || due < indexedAt || indexedAt <= time;
}

function put(changes: IndexChanges, store: StoreName, key: string, write: (into: ByteWriter) => void): void {
  changes.put(store, Buffer.from(key, 'latin1'), write);
}

function encodeState(into: ByteWriter, { position, time, nextTopicId, segments }: CheckpointState): void {
  for (const value of [position.segment, position.position, position.sequence, time, nextTopicId, segments.length])
    into.varint(value);
  for (const { id, live } of segments) {
    into.varint(id);
    into.varint(Math.max(0, live));
  }
  for (const { records, written, bytes, isCounted, deadSince } of segments) {
    for (const value of isCounted ? [records + 1, written] : [0, 0]) into.varint(Math.max(0, value));
    into.varint(bytes);
    into.varint(deadSince === undefined ? 0 : deadSince + 1);
  }
}

/** Undefined in a folder without a checkpoint. @throws BrokerError corrupt */
export function readCheckpoint(index: TopicIndex): CheckpointState | undefined {
  const bytes = index.state(CHECKPOINT_KEY);
  if (bytes === undefined) return undefined;
  const reader = new ByteReader(bytes);
  const position = { segment: reader.varint(), position: reader.varint(), sequence: reader.varint() };
  const [time, nextTopicId] = [reader.varint(), reader.varint()];
  const lives = Array.from({ length: reader.varint() }, () => ({ id: reader.varint(), live: reader.varint() }));
  // Builds of format 1 wrote no more.
  const isOld = reader.left === 0;
  const segments = lives.map((one) => ({ ...one, ...(isOld ? notCounted(time) : decodeFigures(reader)) }));
  return { position, time, nextTopicId, segments };
}

/** Anything in the segment may be dead: it counts as dead since the checkpoint. */
function notCounted(time: number): Omit<SegmentFigures, 'id' | 'live'> {
  return { records: 0, written: 0, bytes: 0, isCounted: false, deadSince: time };
}

function decodeFigures(reader: ByteReader): Omit<SegmentFigures, 'id' | 'live'> {
  const [records, written, bytes, deadSince] = [reader.varint(), reader.varint(), reader.varint(), reader.varint()];
  const isCounted = records > 0;
  const since = deadSince === 0 ? undefined : deadSince - 1;
  return { records: isCounted ? records - 1 : 0, written, bytes, isCounted, deadSince: since };
}

/** The damaged topics, and the lost parts of the log, that the last checkpoint saved. */
export function readDamage(index: TopicIndex): readonly [topics: string | undefined, parts: string | undefined] {
  return [index.state(DAMAGE_KEY)?.toString(), index.state(LOST_PARTS_KEY)?.toString()];
}

/** The latest recorded time, of the checkpoint or later; undefined in a folder without one. @throws BrokerError
 *  corrupt */
export function readTime(index: TopicIndex, checkpoint: CheckpointState | undefined): number | undefined {
  const bytes = index.state(TIME_KEY);
  if (bytes === undefined) return checkpoint?.time;
  return Math.max(new ByteReader(bytes).varint(), checkpoint?.time ?? 0);
}

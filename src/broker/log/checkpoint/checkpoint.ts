// Writes what is true of the log up to one position into the index, in one transaction, so that a start replays only
// what follows. It captures its content by reference, in one turn of the event loop at a batch boundary, because
// thousands of live chats wait meanwhile; encoding and writing run beside their appends. Afterwards it removes segments
// to which nothing points any more.
import { setImmediate } from 'node:timers/promises';
import { TOMBSTONE_MS } from '../../broker.ts';
import type { LiteTopicName } from '../../lite-topic.ts';
import { ByteReader } from '../format/byte-reader.ts';
import { ByteWriter } from '../format/byte-writer.ts';
import { isCode } from '../disk/log-files.ts';
import type { DiskReserve } from '../disk/disk-reserve.ts';
import type { LogPosition } from '../format/batch-codec.ts';
import type { ChunkImage } from '../topics/record-chunk.ts';
import type { Segments } from '../disk/segments.ts';
import { encodeTopicEntry, type TopicEntry } from '../topics/topic-codec.ts';
import { chunkKey, expiryKey, topicKey, type IndexChange, type TopicIndex } from '../topics/topic-index.ts';
import type { TopicTable } from '../topics/topic-table.ts';
import type { Topic } from '../topics/topic.ts';
import { PROCESS_RUN_KEY, type ProcessRun } from './process-run.ts';
import { ValuePages } from './value-pages.ts';

const NOTHING = Buffer.alloc(0);
const CHECKPOINT_KEY = 'checkpoint';
const TIME_KEY = 'time';

/** Topics encoded in one turn of the event loop: on a busy node a turn comes every half millisecond.
 *  (hot: ADR 7 §6) */
const TOPICS_A_TURN = 2;

export interface CheckpointState {
  readonly position: LogPosition;
  readonly time: number;
  readonly nextTopicId: number;
  readonly segments: readonly { readonly id: number; readonly live: number }[];
}

/** A topic as it was when the checkpoint began. */
interface TopicImage extends TopicEntry {
  readonly name: LiteTopicName;
  readonly indexedBefore: number;
  readonly chunks: readonly ChunkImage[];
}

export class Checkpoint {
  readonly #index: TopicIndex;
  readonly #table: TopicTable;
  readonly #segments: Segments;
  readonly #reserve: DiskReserve;
  readonly #values = new ValuePages();
  /** The changes of a transaction that found no room on the device; the next one includes them. */
  #unwritten: IndexChange[] = [];
  /** Topics that are captured and not yet readable from the index. */
  #captured: Topic[] = [];
  #groups: (readonly [group: string, pattern: string])[] = [];

  constructor(index: TopicIndex, table: TopicTable, segments: Segments, reserve: DiskReserve) {
    this.#index = index;
    this.#table = table;
    this.#segments = segments;
    this.#reserve = reserve;
  }

  addGroup(group: string, pattern: string): void {
    this.#groups.push([group, pattern]);
  }

  /**
   * Captures everything before it returns; everything in the log before `position` must be on the device by then.
   * Resolves when the checkpoint is durable and the segments that it made superfluous are removed.
   */
  write(position: LogPosition, time: number, run: ProcessRun): Promise<void> {
    const topics = this.#table.takeDirty();
    const changes = [...this.#unwritten, ...this.#captureRest()];
    const images = topics.map((topic) => captureTopic(topic, time));
    // The table leaves dead segments out: otherwise a crash half way through their removal would look like a loss.
    const dead = this.#segments.dead(position.segment);
    const segments = this.#segments.table().filter(({ id }) => !dead.includes(id));
    const state = { position, time, nextTopicId: this.#table.nextTopicId, segments };
    changes.push(
      change('state', CHECKPOINT_KEY, encodeState(state)),
      change('state', PROCESS_RUN_KEY, Buffer.from(JSON.stringify(run))),
    );
    this.#unwritten = changes;
    this.#captured = this.#captured.length === 0 ? topics : this.#captured.concat(topics);
    return this.#finish(changes, images, dead);
  }

  /** Records only the time, for an idle log. Without room on the device the last recorded time stays. */
  async recordTime(time: number): Promise<void> {
    const into = new ByteWriter(16);
    into.varint(time);
    try {
      await this.#index.apply([change('state', TIME_KEY, into.view())]);
    } catch (error) {
      if (!isCode(error, 'ENOSPC')) throw error;
    }
  }

  async #finish(changes: IndexChange[], images: readonly TopicImage[], dead: readonly number[]): Promise<void> {
    for (const [i, image] of images.entries()) {
      this.#encodeTopic(image, changes);
      if (i % TOPICS_A_TURN === TOPICS_A_TURN - 1) await setImmediate();
    }
    // It may use the reserve: without the checkpoint no removal frees room.
    await this.#reserve.use(() => this.#index.apply(changes));
    this.#unwritten = [];
    this.#values.clear();
    for (const topic of this.#captured) topic.capturing = false;
    this.#captured = [];
    await this.#segments.unlink(dead);
  }

  #captureRest(): IndexChange[] {
    const changes: IndexChange[] = [];
    for (const { id, chunks } of this.#table.endedEpochs) {
      for (let index = 0; index < chunks; index++)
        changes.push({ store: 'chunks', key: chunkKey(id, index), value: undefined });
    }
    this.#table.endedEpochs = [];
    for (const [group, pattern] of this.#groups) changes.push(change('groups', group, Buffer.from(pattern, 'latin1')));
    this.#groups = [];
    return changes;
  }

  #encodeTopic(image: TopicImage, changes: IndexChange[]): void {
    const { name, indexedBefore, indexedAt, version, tombstone, chunks } = image;
    const key = topicKey(name);
    if (indexedAt !== indexedBefore) {
      if (indexedBefore !== 0) changes.push({ store: 'expiry', key: expiryKey(indexedBefore, name), value: undefined });
      if (indexedAt !== 0) changes.push({ store: 'expiry', key: expiryKey(indexedAt, name), value: NOTHING });
    }
    if (version === undefined && tombstone === undefined) {
      changes.push({ store: 'topics', key, value: undefined });
      return;
    }
    changes.push({ store: 'topics', key, value: this.#values.value((into) => encodeTopicEntry(into, image)) });
    for (const chunk of chunks)
      changes.push({
        store: 'chunks',
        key: chunkKey(image.id, chunk.index),
        value: this.#values.value((into) => chunk.encode(into)),
      });
  }
}

function captureTopic(topic: Topic, time: number): TopicImage {
  topic.capturing = true;
  const { name, id, bytes, visible: version, consumed, indexedAt: indexedBefore } = topic;
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

function change(store: 'state' | 'groups', key: string, value: Buffer): IndexChange {
  return { store, key: Buffer.from(key, 'latin1'), value };
}

function encodeState({ position, time, nextTopicId, segments }: CheckpointState): Buffer {
  const into = new ByteWriter(1024);
  for (const value of [position.segment, position.position, position.sequence, time, nextTopicId, segments.length])
    into.varint(value);
  for (const { id, live } of segments) {
    into.varint(id);
    into.varint(Math.max(0, live));
  }
  return into.view();
}

/** Undefined in a folder without a checkpoint. @throws BrokerError corrupt */
export function readCheckpoint(index: TopicIndex): CheckpointState | undefined {
  const bytes = index.state(CHECKPOINT_KEY);
  if (bytes === undefined) return undefined;
  const reader = new ByteReader(bytes);
  const position = { segment: reader.varint(), position: reader.varint(), sequence: reader.varint() };
  const [time, nextTopicId] = [reader.varint(), reader.varint()];
  const segments = Array.from({ length: reader.varint() }, () => ({ id: reader.varint(), live: reader.varint() }));
  return { position, time, nextTopicId, segments };
}

/** The latest recorded time, of the checkpoint or later; undefined in a folder without one. @throws BrokerError
 *  corrupt */
export function readTime(index: TopicIndex, checkpoint: CheckpointState | undefined): number | undefined {
  const bytes = index.state(TIME_KEY);
  if (bytes === undefined) return checkpoint?.time;
  return Math.max(new ByteReader(bytes).varint(), checkpoint?.time ?? 0);
}

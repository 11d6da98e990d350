// Finds out which records in a window of a segment are still live: those to which a topic points. It loads no topic
// into the table for that.
import { BrokerError } from '../../errors.ts';
import type { LiteTopicName } from '../../lite-topic.ts';
import {
  decodeFrame,
  FRAME_HEAD_BYTES,
  recordText,
  sliceFrame,
  type Frame,
  type MovedFrame,
  type SizedRecord,
  type StoredRecord,
} from '../format/frame-codec.ts';
import { CHUNK_RECORDS } from '../topics/record-chunk.ts';
import type { TopicIndex } from '../topics/topic-index.ts';
import type { TopicTable } from '../topics/topic-table.ts';
import type { Topic } from '../topics/topic.ts';
import type { Window } from './segment-walk.ts';

/** Bytes of text in one moved frame. A reader of one of its records reads the whole frame. */
const MOVED_BYTES_MAX = 64 * 1024;
/** Records in one moved frame. The frame is relocated in one turn of the event loop. */
const MOVED_RECORDS_MAX = 256;

/** Records and bytes of text that are looked at, and moved, in one step. */
const STEP_RECORDS_MAX = 512;
const STEP_BYTES_MAX = 128 * 1024;

/** Some of the records of one epoch of a topic in a window, in the order of the log. */
export interface Candidates {
  readonly topic: LiteTopicName;
  readonly epoch: string;
  readonly records: Candidate[];
  bytes: number;
}

interface Candidate {
  readonly offset: number;
  readonly stored: StoredRecord;
  /** Where the frame is in the buffer. */
  readonly frameAt: number;
}

/** The part of a frame that holds records of one topic. */
interface Part {
  readonly topic: LiteTopicName;
  readonly epoch: string;
  readonly first: number;
  readonly records: readonly StoredRecord[];
}

/** The records of a window, by topic. */
export class WindowRecords {
  readonly all: Candidates[] = [];
  readonly #open = new Map<string, Candidates>();

  /** Decodes the frames between two bytes of the window, at most `framesMax` of them. Returns the byte behind the last
   *  one. A length that cannot be right ends the batch. */
  collect({ buffer }: Window, [from, to]: readonly [from: number, to: number], framesMax: number): number {
    let at = from;
    for (let left = framesMax; left > 0 && at < to; left--) {
      const end = to - at < FRAME_HEAD_BYTES ? Infinity : at + FRAME_HEAD_BYTES + buffer.readUInt32LE(at);
      if (end > to) return to;
      for (const part of partsOf(frameOrNothing(buffer, at + FRAME_HEAD_BYTES, end))) this.#add(part, at);
      at = end;
    }
    return at;
  }

  #add({ topic, epoch, first, records }: Part, frameAt: number): void {
    const key = `${topic} ${epoch}`;
    for (const [i, stored] of records.entries()) {
      let candidates = this.#open.get(key);
      const isFull =
        candidates !== undefined &&
        (candidates.records.length >= STEP_RECORDS_MAX || candidates.bytes + stored.size > STEP_BYTES_MAX);
      if (candidates === undefined || isFull) {
        candidates = { topic, epoch, records: [], bytes: 0 };
        this.#open.set(key, candidates);
        this.all.push(candidates);
      }
      candidates.records.push({ offset: first + i, stored, frameAt });
      candidates.bytes += stored.size;
    }
  }
}

function frameOrNothing(buffer: Buffer, from: number, to: number): Frame<StoredRecord> | undefined {
  try {
    return decodeFrame(buffer, from, to);
  } catch (error) {
    if (error instanceof BrokerError) return undefined;
    throw error;
  }
}

function partsOf(frame: Frame<StoredRecord> | undefined): readonly Part[] {
  if (frame?.kind === 'append') return frame.writes;
  if (frame?.kind !== 'moved') return [];
  return frame.runs.map((run) => ({ ...run, topic: frame.topic, epoch: frame.epoch }));
}

export class LiveRecords {
  readonly #table: TopicTable;
  readonly #index: TopicIndex;

  constructor(table: TopicTable, index: TopicIndex) {
    this.#table = table;
    this.#index = index;
  }

  /** The frames that move what is live among the candidates. Valid in this turn of the event loop. Leaves out records
   *  whose frame does not match its checksum. @throws BrokerError corrupt: the index is damaged */
  framesOf(segment: number, { buffer, start }: Window, candidates: Candidates): readonly MovedFrame<SizedRecord>[] {
    const { topic: name, epoch, records } = candidates;
    const topic = this.#topic(name);
    const frames = new MovedFrames(segment, name, epoch);
    if (topic?.visible?.base !== epoch) return frames.all;
    const { next } = topic.visible.state;
    let checked: { readonly at: number; readonly isWhole: boolean } | undefined;
    for (const { offset, stored, frameAt } of records) {
      if (offset >= next || !isAt(topic, offset, segment, start + frameAt)) continue;
      if (checked?.at !== frameAt) checked = { at: frameAt, isWhole: isWhole(buffer, frameAt) };
      if (checked.isWhole)
        frames.add(offset, { major: stored.major, size: stored.size, data: recordText(buffer, stored) });
    }
    return frames.all;
  }

  #topic(name: LiteTopicName): Topic | undefined {
    const loaded = this.#table.loaded(name);
    if (loaded !== undefined) return loaded;
    const entry = this.#index.topic(name);
    return entry === undefined ? undefined : this.#table.peek(name, entry);
  }
}

function isAt(topic: Topic, offset: number, segment: number, position: number): boolean {
  const chunk = topic.chunkOf(offset);
  const slot = offset % CHUNK_RECORDS;
  if (chunk.holeBy(slot) >= 0) return false;
  const location = chunk.location(slot);
  return location.segment === segment && location.position === position;
}

function isWhole(buffer: Buffer, frameAt: number): boolean {
  try {
    sliceFrame(buffer, frameAt);
    return true;
  } catch (error) {
    if (error instanceof BrokerError) return false;
    throw error;
  }
}

/** Moved frames of one topic within their bounds. */
class MovedFrames {
  readonly #from: number;
  readonly #topic: LiteTopicName;
  readonly #epoch: string;
  readonly all: MovedFrame<SizedRecord>[] = [];
  #runs: { readonly first: number; readonly records: SizedRecord[] }[] = [];
  #bytes = 0;
  #records = 0;

  constructor(from: number, topic: LiteTopicName, epoch: string) {
    this.#from = from;
    this.#topic = topic;
    this.#epoch = epoch;
  }

  add(offset: number, record: SizedRecord): void {
    const isFull = this.#records >= MOVED_RECORDS_MAX || this.#bytes + record.size > MOVED_BYTES_MAX;
    if (this.#records === 0 || isFull) this.#begin();
    let run = this.#runs.at(-1);
    if (run === undefined || run.first + run.records.length !== offset)
      this.#runs.push((run = { first: offset, records: [] }));
    run.records.push(record);
    this.#records += 1;
    this.#bytes += record.size;
  }

  #begin(): void {
    this.#runs = [];
    [this.#records, this.#bytes] = [0, 0];
    this.all.push({ kind: 'moved', from: this.#from, topic: this.#topic, epoch: this.#epoch, runs: this.#runs });
  }
}

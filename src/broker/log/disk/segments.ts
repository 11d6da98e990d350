// The segment files of a log: which exist, how many live bytes each holds, reading from them, and removing those that
// hold none. log-writer.ts writes them. A segment keeps its file open while a reader uses it, so that its removal does
// not disturb the reader.
import { join } from 'node:path';
import { BrokerError } from '../../errors.ts';
import { isCode, type LogFile, type LogFiles } from './log-files.ts';
import { runEvery } from './run-every.ts';

const SUFFIX = '.seg';
const NAME = /^[0-9]{16}\.seg$/;

/** What of a segment is live. A record to which no topic points is dead. */
export interface SegmentFigures {
  readonly id: number;
  /** The number of live records plus the bytes of their text. At 0 nothing in the file is needed. */
  readonly live: number;
  /** The number of live records. */
  readonly records: number;
  /** The weight (`RECORD_WEIGHT`) of all records that were ever written to the segment. */
  readonly written: number;
  /** The length of the file; 0 while it is being written, or if it is not known. */
  readonly bytes: number;
  /** False: an older build wrote the checkpoint, so `records` and `written` are not known. */
  readonly isCounted: boolean;
  /** The engine's time when the first of the records that are dead died; undefined if none is. */
  readonly deadSince: number | undefined;
}

interface Segment extends SegmentFigures {
  live: number;
  records: number;
  written: number;
  bytes: number;
  deadSince: number | undefined;
  sealed: boolean;
  file: Promise<LogFile> | undefined;
  readers: number;
}

/** A record's weight is the bytes of its text and this much: about what its frame takes beside the text. */
export const RECORD_WEIGHT = 48;
const NOTHING_WRITTEN = { live: 0, records: 0, written: 0, bytes: 0, isCounted: true, deadSince: undefined };

/** A segment that is in use: its file stays. */
export interface AcquiredSegment {
  /** @throws BrokerError corrupt: the file is missing or ends before */
  read(position: number, length: number): Promise<Buffer>;
  release(): Promise<void>;
}

export class Segments {
  readonly folder: string;
  readonly #files: LogFiles;
  readonly #openMax: number;
  readonly #segments = new Map<number, Segment>();
  /** Segments with live records whose file is missing. */
  readonly #missing = new Set<number>();
  /** The engine's time. During a replay, the time of the checkpoint: what the log says died later. */
  now: () => number = () => 0;

  constructor(files: LogFiles, folder: string, openMax: number) {
    this.#files = files;
    this.folder = folder;
    this.#openMax = openMax;
  }

  path(id: number): string {
    return join(this.folder, String(id).padStart(16, '0') + SUFFIX);
  }

  /** A segment in which nothing is live yet. */
  add(id: number, sealed: boolean): void {
    this.restore({ id, ...NOTHING_WRITTEN }, sealed);
  }

  /** A segment that a checkpoint describes. */
  restore(figures: SegmentFigures, sealed: boolean): void {
    this.#segments.set(figures.id, { ...figures, sealed, file: undefined, readers: 0 });
  }

  /** Finds out how long the files are whose length the checkpoint does not say. */
  async measure(): Promise<void> {
    // The replay may have moved the records of a missing segment, or ended their topics: then it was removed rightly.
    for (const id of this.#missing) if ((this.#segments.get(id)?.live ?? 0) <= 0) this.#missing.delete(id);
    for (const segment of this.#segments.values())
      if (segment.sealed && segment.bytes === 0) segment.bytes = await this.#measureOne(segment.id);
  }

  async #measureOne(id: number): Promise<number> {
    try {
      const file = await this.#files.open(this.path(id), 'read');
      try {
        return await file.size();
      } finally {
        await file.close();
      }
    } catch (error) {
      if (!isCode(error, 'ENOENT')) throw error;
      this.noteMissing(id);
      return 0;
    }
  }

  /** Segments with live records whose file is missing, as far as it was noticed. */
  get missing(): ReadonlySet<number> {
    return this.#missing;
  }

  /** The file of the segment is missing: a read of records in it fails, and declares them as lost. */
  noteMissing(id: number): void {
    if ((this.#segments.get(id)?.live ?? 0) > 0) this.#missing.add(id);
  }

  /** Nothing more is written to the segment. */
  seal(id: number, bytes: number): void {
    const segment = this.#segments.get(id);
    if (segment === undefined) return;
    segment.sealed = true;
    segment.bytes = bytes;
  }

  /** The live part of the segment grows, or shrinks, by `records` whose text has `bytes`. Every token calls it. */
  count(id: number, records: number, bytes: number): void {
    const segment = this.#segments.get(id);
    if (segment === undefined) return;
    segment.live += records + bytes;
    segment.records += records;
    if (records > 0) segment.written += records * RECORD_WEIGHT + bytes;
    else segment.deadSince ??= this.now();
  }

  /** The segment holds text to which no topic points, because the frame with it cannot be read. */
  noteUnread(id: number): void {
    const segment = this.#segments.get(id);
    if (segment !== undefined) segment.deadSince ??= this.now();
  }

  /** All segments. The objects change with the segments. */
  all(): Iterable<SegmentFigures> {
    return this.#segments.values();
  }

  /** Undefined if the segment was removed. */
  figures(id: number): SegmentFigures | undefined {
    return this.#segments.get(id);
  }

  /** Sealed segments before `limit` that hold no live record and have no reader. */
  dead(limit: number): number[] {
    const isDead = (one: Segment): boolean => one.sealed && one.live <= 0 && one.readers === 0 && one.id < limit;
    return [...this.#segments.values()].filter(isDead).map(({ id }) => id);
  }

  /** Sealed segments before `limit` that hold live records, whose file is there and has no reader. */
  partlyLive(limit: number): SegmentFigures[] {
    const isPartlyLive = (one: Segment): boolean =>
      one.sealed && one.live > 0 && one.readers === 0 && one.id < limit && !this.#missing.has(one.id);
    return [...this.#segments.values()].filter(isPartlyLive);
  }

  /** Only after a checkpoint that no longer points to these segments is durable. */
  async unlink(ids: readonly number[]): Promise<void> {
    if (ids.length === 0) return;
    for (const id of ids) {
      const segment = this.#segments.get(id);
      this.#segments.delete(id);
      if (segment !== undefined) await closeFile(segment);
      await this.#unlinkOne(id);
    }
    await this.#files.syncFolder(this.folder);
  }

  async #unlinkOne(id: number): Promise<void> {
    try {
      await this.#files.unlink(this.path(id));
    } catch (error) {
      if (!isCode(error, 'ENOENT')) throw error;
    }
    this.#missing.delete(id);
  }

  /** Keeps the segment's file until `release`, even if the segment dies meanwhile. */
  acquire(id: number): AcquiredSegment {
    const segment = this.#segments.get(id);
    if (segment === undefined) return { read: () => Promise.reject(missing(id)), release: () => Promise.resolve() };
    segment.readers += 1;
    return {
      read: async (position, length) => {
        segment.file ??= this.#open(segment);
        return readFully(await segment.file, position, length, id);
      },
      release: async () => {
        segment.readers -= 1;
        await this.#closeIdle();
      },
    };
  }

  #open(segment: Segment): Promise<LogFile> {
    const opening = this.#openFile(segment.id);
    // A failed open must not be kept: the next read tries again.
    opening.catch(() => (segment.file = undefined));
    // Keeps the least recently opened first; idle files are closed in that order.
    this.#segments.delete(segment.id);
    this.#segments.set(segment.id, segment);
    return opening;
  }

  async #openFile(id: number): Promise<LogFile> {
    try {
      const file = await this.#files.open(this.path(id), 'read');
      this.#missing.delete(id);
      return file;
    } catch (error) {
      if (!isCode(error, 'ENOENT')) throw error;
      this.noteMissing(id);
      throw missing(id);
    }
  }

  async #closeIdle(): Promise<void> {
    const open = [...this.#segments.values()].filter((one) => one.file !== undefined);
    for (const one of open.slice(0, Math.max(0, open.length - this.#openMax))) {
      if (one.readers === 0) await closeFile(one);
    }
  }

  async close(): Promise<void> {
    await runEvery([...this.#segments.values()].map((segment) => () => closeFile(segment)));
  }
}

/** The index, or its copy, describes segments, and the folder holds none. */
export function logIsMissing(folder: string): BrokerError {
  return new BrokerError(
    'corrupt',
    `every file of the log is missing in ${folder}. Nothing was changed; put the files back, or restore the whole data folder from a copy`,
  );
}

function missing(id: number): BrokerError {
  return new BrokerError('corrupt', `segment ${id} is missing`);
}

async function closeFile(segment: Segment): Promise<void> {
  const file = segment.file;
  segment.file = undefined;
  await (await file)?.close();
}

async function readFully(file: LogFile, position: number, length: number, id: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  for (let done = 0; done < length;) {
    const count = await file.read(buffer.subarray(done), position + done);
    if (count === 0) throw new BrokerError('corrupt', `segment ${id} ends at byte ${position + done}`);
    done += count;
  }
  return buffer;
}

/** The ids of the segment files in the folder, ascending. */
export async function listSegments(files: LogFiles, folder: string): Promise<number[]> {
  const names = await files.list(folder);
  return names
    .filter((name) => NAME.test(name))
    .map((name) => Number(name.slice(0, -SUFFIX.length)))
    .sort((a, b) => a - b);
}
